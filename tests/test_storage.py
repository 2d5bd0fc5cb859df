"""The storage: what it refuses, keeps and survives; it reads what Optuna's own reads."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from search.storage import Storage, check_storage, connect
from search.study import load_study

URL = "sqlite:///studies.db"
RANGES: dict[str, Any] = {
    "lr": FloatDistribution(1e-4, 1, log=True),
    "step": IntDistribution(5, 25, step=5),
    "weights": CategoricalDistribution((None, "DEFAULT", 3)),
}


def fill(study: Study) -> None:
    """Trials in every state, one with each thing that a trial can hold."""
    began = datetime(2026, 3, 1, 12)
    whole: dict[str, Any] = {
        "params": {"weights": None, "step": 10, "lr": 0.1},
        "distributions": RANGES,
        "user_attrs": {"config": {"x": [1, None]}, "é": "猫"},
        "system_attrs": {"fixed": {"y": 1.5}},
        "intermediate_values": {3: math.inf, 1: 0.5, 2: -math.inf},
    }
    for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.WAITING):
        value = 0.25 if state == TrialState.COMPLETE else None
        trial = create_trial(state=state, value=value, **whole)
        trial.datetime_start = None if state == TrialState.WAITING else began
        trial.datetime_complete = began + timedelta(seconds=1.5) if state.is_finished() else None
        study.add_trial(trial)
    study.add_trial(create_trial(value=math.inf))
    study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values={0: math.nan}))


def test_trials_are_read_as_optuna_reads_them() -> None:
    study = optuna.create_study(storage=RDBStorage(URL), study_name="made")
    fill(study)
    fill(optuna.create_study(storage=RDBStorage(URL), study_name="another"))
    expected = optuna.load_study(study_name="made", storage=RDBStorage(URL)).get_trials()
    read = optuna.load_study(study_name="made", storage=Storage(URL)).get_trials()
    assert len(read) == 6
    assert read[:5] == expected[:5]
    assert repr(read[5]) == repr(expected[5])  # NaN is not equal to itself


def test_several_objectives_and_none() -> None:
    study = optuna.create_study(storage=RDBStorage(URL), study_name="two", directions=["minimize", "maximize"])
    storage = Storage(URL)
    assert optuna.load_study(study_name="two", storage=storage).get_trials() == []
    study.add_trials([create_trial(values=[3.0, 1.0]), create_trial(state=TrialState.FAIL)])
    assert [trial.values for trial in optuna.load_study(study_name="two", storage=storage).trials] == [[3.0, 1.0], None]


def test_a_study_that_grows_is_read_on() -> None:
    study = optuna.create_study(storage=Storage(URL), study_name="grows")
    for _ in range(2):
        trial = study.ask()
        trial.report(0.5, 1)
        assert [t.state for t in study.trials][-1] == TrialState.RUNNING
        study.tell(trial, 0.5)
        assert {t.state for t in study.trials} == {TrialState.COMPLETE}
    assert [t.number for t in study.trials] == [0, 1]
    assert study.trials == optuna.load_study(study_name="grows", storage=RDBStorage(URL)).trials


@pytest.mark.parametrize(("unfinished", "last"), [(set(), 3), ({1, 2}, 4), ({2, 6}, 4), (set(), 99), ({5}, -1)])
def test_what_is_new_since_the_last_reading(unfinished: set[int], last: int) -> None:
    fill(optuna.create_study(storage=RDBStorage(URL), study_name="made"))
    fill(optuna.create_study(storage=RDBStorage(URL), study_name="other"))
    study = RDBStorage(URL).get_study_id_from_name("made")
    expected = RDBStorage(URL)._get_trials(study, None, unfinished, last)
    found = Storage(URL)._get_trials(study, None, unfinished, last)
    assert [trial.number for trial in found] == [trial.number for trial in expected]
    assert found[:-1] == expected[:-1]  # the last holds a NaN, which is not equal to itself


def test_a_study_that_is_gone_is_an_error() -> None:
    storage = Storage(URL)
    study = optuna.create_study(storage=storage, study_name="gone")
    optuna.delete_study(study_name="gone", storage=storage)
    with pytest.raises(KeyError):
        study.get_trials()
    assert Path("studies.db").is_file()


def test_sqlite_keeps_a_write_ahead_log() -> None:
    storage = connect(URL)
    with storage.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1  # NORMAL
    with sqlite3.connect("studies.db") as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


EIGHT = """
import os
from pathlib import Path
from search import Float, SearchSpace
from search.spacefile import SpaceFile
from search.storage import connect
from search.study import open_study
connect("sqlite:///warm.db").engine.dispose()  # imports what creating tables needs, so that the eight collide
space = SpaceFile(Path("space.py"), "space", SearchSpace(x=Float(0, 1)), lambda config: iter(()))
gate, opener = os.pipe()
children = []
for _ in range(8):
    if not (child := os.fork()):
        os.close(opener)
        os.read(gate, 1)  # all wait here, and go at once
        try:
            open_study("sqlite:///studies.db", "s", space)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    children.append(child)
os.close(opener)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


def test_eight_processes_start_on_an_empty_storage_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", EIGHT], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == str([0] * 8), done.stderr
    assert [study.study_name for study in connect(URL).get_all_studies()] == ["s"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://user:sesame@127.0.0.1:1/studies", "cannot be reached"),
        ("postgresql://user:sesame@127.0.0.1:port/studies", "cannot be reached"),
        ("postgresql://127.0.0.1:1/studies?user=user&password=sesame", "cannot be reached"),
        ("sqlite:///missing/studies.db", "missing is no folder"),
        ("sqlite:///space.py", "no SQLite file"),
        ("sqlite:///folder", "is a folder"),
        ("sqlite://", "a study needs a file"),
        ("nonsense", "cannot be reached"),
        ("user:sesame@host", "cannot be reached"),
        ("nosuchbase://user:sesame@host/studies", "cannot be reached"),
    ],
)
def test_an_unreachable_storage_is_one_line(cli: Any, write: Any, sys_path: None, url: str, words: str) -> None:
    write(
        "space.py",
        "from search import Float, SearchSpace\nspace = SearchSpace(x=Float(0, 1))\ndef train(c): yield {}\n",
    )
    Path("folder").mkdir()
    for verb in (["run", "space.py"], ["report", "s"], ["export", "s"]):
        status, out, err = cli(*verb, "--storage", url)
        assert status == 2
        assert (out, err.count("\n")) == ("", 1)
        assert "sesame" not in err
        assert err.startswith("search: ")
        if verb[0] == "run":
            assert words in err
    assert sorted(path.name for path in Path().iterdir()) == ["folder", "space.py"]


ELSEWHERE = """
from search.storage import connect
storage = connect("sqlite:///studies.db")
storage.create_new_study(["maximize"], "other")
storage.engine.dispose()
"""


def test_a_look_at_the_file_does_not_give_up_its_locks() -> None:
    """POSIX drops all of a process's locks on a file when one of its descriptors is closed; SQLite alone may open it.

    Without them another process that ends takes the log of changes away under this one, and the file breaks.
    """
    study = optuna.create_study(storage=connect(URL), study_name="s")
    check_storage(URL)
    subprocess.run([sys.executable, "-c", ELSEWHERE], check=True)
    assert Path("studies.db-wal").exists()
    study.set_user_attr("still", "here")
    with sqlite3.connect("studies.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert load_study(URL, "s").user_attrs["still"] == "here"
