"""A storage that goes away in the middle of a run, and one that stays away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from live import WAIT, Run, until
from optuna.trial import FrozenTrial, TrialState
from postgres import Postgres

from search.errors import SearchError
from search.study.storage import retry
from search.study.storage.open import connect
from search.study.study import load_study

pytestmark = pytest.mark.whole

LOCK = """
import sqlite3, sys, time
with sqlite3.connect("studies.db", isolation_level=None) as other:
    other.execute("BEGIN IMMEDIATE")
    print("locked", flush=True)
    time.sleep(float(sys.argv[1]))
"""


@contextmanager
def locked(seconds: float) -> Iterator[None]:
    """The SQLite file in the working directory, held by another process for so long."""
    with subprocess.Popen([sys.executable, "-c", LOCK, str(seconds)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        yield
        other.wait()


def test_a_locked_sqlite_file_is_waited_for(capfd: pytest.CaptureFixture[str]) -> None:
    study = optuna.create_study(storage=connect("sqlite:///studies.db"), study_name="s")
    trial = study.ask()
    began = time.monotonic()
    with locked(5):
        trial.report(0.5, 1)
    assert time.monotonic() - began > 4
    assert study.trials[0].intermediate_values == {1: 0.5}
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0] == (
        "search: storage sqlite:///studies.db does not answer: database is locked; trying again for up to 5 min, "
        "and nothing is lost meanwhile"
    )
    assert said[1].startswith("search: storage sqlite:///studies.db answers again, after ")


def test_what_is_wrong_is_not_waited_for(database: str) -> None:
    storage = connect(database)
    study = optuna.create_study(storage=storage)
    began = time.monotonic()
    with pytest.raises(retry.ERRORS) as caught:
        study.set_user_attr("x" * 600, 1)  # over 512 characters
    assert retry.reason(caught.value) == "value too long for type character varying(512)"
    assert time.monotonic() - began < 5
    storage.engine.dispose()


def test_a_restart_is_not_noticed(postgres: Postgres, database: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Stopped and started in between, cleanly and as in a crash: the pool's connections are all stale."""
    storage = connect(database)
    study = optuna.create_study(storage=storage, study_name="s")
    for how in (signal.SIGINT, signal.SIGQUIT):
        with postgres.away(0, how):
            pass
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        with postgres.away(0, how):
            pass
        study.tell(trial, 1.0)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2
    assert capfd.readouterr().err == ""
    storage.engine.dispose()


def test_patience_ends_for_all_at_once(postgres: Postgres, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PATIENCE", 3.0)
    storage = connect(database)
    study = optuna.create_study(storage=storage, study_name="s")
    with postgres.away(0):
        began = time.monotonic()
        with pytest.raises(retry.ERRORS):
            study.set_user_attr("a", 1)
        assert 3 < time.monotonic() - began < 20
        began = time.monotonic()
        with pytest.raises(retry.ERRORS) as caught:
            study.set_user_attr("b", 1)
        assert time.monotonic() - began < 2
        assert "refused" in retry.reason(caught.value)
    study.set_user_attr("c", 1)  # a new count
    assert study.user_attrs == {"c": 1}
    storage.engine.dispose()


BREAKS = """
    import os
    from pathlib import Path
    from search import Float, SearchSpace
    from optuna.pruners import NopPruner

    space, metric, trials, pruner = SearchSpace(x=Float(0, 1), epochs=3), "score", 3, NopPruner()

    def train(config):
        for epoch in range(3):
            server = Path(__file__).parent / "server"
            if epoch == 1 and server.exists():
                os.kill(int(server.read_text()), 2)
                server.unlink()
            yield {"score": config["x"] + epoch}
"""


def test_a_storage_that_stays_away_ends_the_run_and_the_same_command_goes_on(
    postgres: Postgres, database: str, cli: Any, write: Any, sys_path: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "PATIENCE", 3.0)
    write("space.py", BREAKS)
    write("url", database)
    write("server", str(postgres.pid))
    words = ("run", "space.py", "--engine", "inline", "--storage-file", "url")
    try:
        status, out, err = cli(*words)
    finally:
        postgres.start()
    assert status == 3
    assert "Traceback" not in out + err
    away, failed = err.splitlines()
    assert "does not answer" in away
    assert "trying again for 3 s" in away
    assert failed.startswith("search: storage postgresql+psycopg://postgres:***@127.0.0.1:")
    assert failed.endswith("; to go on: search run space.py --engine inline --storage-file url")
    assert "sesame" not in out + err
    status, out, err = cli(*words)
    assert (status, err) == (0, "")
    trials = load_study(database, "space").get_trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3
    assert all(set(trial.intermediate_values) == {1, 2, 3} for trial in trials)


COUNTS = """
    import os, time
    from pathlib import Path
    from search import Float, SearchSpace
    from optuna.pruners import NopPruner

    space, metric, trials, pruner = SearchSpace(x=Float(0, 1), epochs=60), "score", 4, NopPruner()

    def train(config):
        for epoch in range(1, 61):
            time.sleep(0 if (Path(__file__).parent / "hurry").exists() else 0.05)
            with (Path(__file__).parent / f"trained-{config['x']}").open("a") as file:
                file.write(f"{epoch}\\n")
            yield {"score": config["x"] + epoch}
"""


class Stored(Run):
    """A run whose study is in a storage of the test's."""

    def __init__(self, folder: Path, url: str, *words: str) -> None:
        self.url = url
        (folder / "url").write_text(url)
        super().__init__(folder, "--storage-file", "url", *words)

    def trials(self) -> list[FrozenTrial]:
        try:
            study = load_study(self.url, "space")
        except SearchError:  # not yet, or away
            return []
        try:
            return study.get_trials()
        finally:
            getattr(study._storage, "_backend").engine.dispose()  # noqa: B009 - Optuna says BaseStorage


def trained(run: Run, trial: FrozenTrial) -> list[int]:
    """The epochs that train() has been through, in their order."""
    return [int(line) for line in (run.folder / f"trained-{trial.params['x']}").read_text().split()]


def test_a_run_outlives_a_restart_and_a_ctrl_c_while_the_storage_is_away(
    postgres: Postgres,
    database: str,
    folder: Callable[[str], Path],
    cli: Any,
    sys_path: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It goes on inline here; that it goes on in Ray, test_checkpoints.py shows."""
    run = Stored(folder(COUNTS), database)
    try:
        until(run.started, "Ray")
        until(lambda: list(run.folder.glob("trained-*")), "the first epoch")
        with postgres.away(4):
            pass
        files = run.folder.glob  # looked at before the storage is asked, which takes longer
        until(lambda: any(file.read_text().endswith("\n60\n") for file in files("trained-*")), "a last epoch")
        done = until(lambda: [t for t in run.trials() if t.state == TrialState.COMPLETE], "the end of a trial")
        for trial in done:  # no epoch was lost, and none trained or stored twice
            assert trained(run, trial) == list(range(1, 61))
            assert trial.intermediate_values == {epoch: trial.params["x"] + epoch for epoch in range(1, 61)}
        assert run.output.count("answers again, after ") == 1

        with postgres.away(0):
            until(lambda: run.output.count("does not answer") == 2, "the line that says so")
            began = time.monotonic()
            os.killpg(run.process.pid, signal.SIGINT)
            assert run.process.wait(WAIT) == 130, run.output
            until(lambda: not run.alive(), "the end of every process")
            assert time.monotonic() - began < 10
        report, last = run.output.splitlines()[-2:]
        assert last.startswith("interrupted; ")
        assert report.startswith("the report so far: search report ")
        assert last.endswith(" of 4 trials are done; to go on: search run space.py --storage-file url")
        assert "Traceback" not in run.output, run.output
        assert "sesame" not in run.output
    finally:
        run.end()
    (run.folder / "hurry").touch()
    monkeypatch.chdir(run.folder)
    again = cli("run", "space.py", "--storage-file", "url", "--engine", "inline")
    assert again.status == 0, again
    trials = run.trials()
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    for trial in trials:
        assert trial.state == TrialState.COMPLETE
        assert trial.intermediate_values == {epoch: trial.params["x"] + epoch for epoch in range(1, 61)}
