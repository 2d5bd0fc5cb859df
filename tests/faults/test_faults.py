"""What dies, hangs or is stopped in the middle of a run, and what the same command makes of it."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cli
from live import CORES, WAIT, Run, read, until
from optuna.trial import FrozenTrial, TrialState

from search.engine.processes.forkserver import DEATHS
from search.study.study import load_study

pytestmark = pytest.mark.whole


def test_ctrl_c_while_ray_starts_is_one_line_and_leaves_nothing(folder: Callable[[str], Path]) -> None:
    run = Run(folder(SLOW), "--engine", "tune")
    try:
        temp = until(run.temp, "the fork server")
        os.killpg(run.process.pid, signal.SIGINT)
        assert run.process.wait(WAIT) == 130, run.output
        until(lambda: not run.alive(), "the end of every process")
    finally:
        run.end()
    *before, last = run.output.splitlines()
    assert re.fullmatch(
        r"interrupted; (0 of 4 trials are done; )?to go on: search run space\.py --engine tune", last
    ), run.output
    # Where this process is slow to look, the trials have begun: two lines more, and they wait again.
    assert len(before) == (2 if "side by side" in run.output else 0), run.output
    assert not [path for path in temp if path.exists()]
    assert {trial.state for trial in run.trials()} <= {TrialState.WAITING}


SLOW = """
    import time
    from pathlib import Path
    from search import Float, SearchSpace
    from optuna.pruners import NopPruner

    space = SearchSpace(x=Float(0, 1), epochs=600)
    metric, trials, pruner = "score", 4, NopPruner()

    def train(config):
        began = time.time()
        for epoch in range(config["epochs"]):
            hurry = (Path(__file__).parent / "hurry").exists()
            time.sleep(0 if hurry else 0.2)
            yield {"score": config["x"], "began": began}
            if hurry and epoch > 10:
                return
"""


@pytest.mark.usefixtures("sys_path", "torch_threads")
def test_ctrl_c_puts_trials_back_and_the_same_command_goes_on(
    folder: Callable[[str], Path], cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on inline here; that it goes on in Ray, test_checkpoints.py shows."""
    run = Run(folder(SLOW))
    try:
        until(run.started, "Ray")
        until(lambda: [trial for trial in run.trials() if trial.last_step and trial.last_step > 1], "two epochs")
        temp = run.temp()
        began = time.monotonic()
        os.killpg(run.process.pid, signal.SIGINT)
        assert run.process.wait(WAIT) == 130, run.output
        until(lambda: not run.alive(), "the end of every process")
        assert time.monotonic() - began < 20
    finally:
        run.end()
    assert len(temp) == 1
    assert not [path for path in temp if path.exists()]
    assert "interrupted; 0 of 4 trials are done; to go on: search run space.py\n" in run.output
    assert "Traceback" not in run.output, run.output
    before = run.trials()
    assert {trial.state for trial in before} == {TrialState.WAITING}
    assert any(len(trial.intermediate_values) >= 2 for trial in before)

    (run.folder / "hurry").touch()
    monkeypatch.chdir(run.folder)
    again = cli("run", "space.py", "--engine", "inline")
    assert again.status == 0, again
    after = run.trials()
    assert [trial.state for trial in after] == [TrialState.COMPLETE] * 4
    for old, new in zip(before, after, strict=False):
        assert (new.number, new.params) == (old.number, old.params)
        assert new.intermediate_values.items() >= old.intermediate_values.items()
    assert f"interrupted trials that go on first: {len(before)}\n" in again.out


def test_a_killed_node_is_replaced_within_the_run(folder: Callable[[str], Path]) -> None:
    run = Run(folder(SLOW), "--engine", "tune")
    try:
        until(lambda: len([1 for trial in run.trials() if (trial.last_step or 0) > 1]) == CORES, "epochs")
        before = run.trials()
        node = [pid for pid, line in run.alive().items() if line.split(" ")[0].endswith(("gcs_server", "raylet"))]
        assert len(node) == 2
        for pid in node:
            os.kill(pid, signal.SIGKILL)
        (run.folder / "hurry").touch()
        assert run.process.wait(WAIT) == 0, run.output
        until(lambda: not run.alive(), "the end of every process")
    finally:
        run.end()
    assert len(re.findall("^Ray's .* died; its trials go on in a new one$", run.output, re.MULTILINE)) == 1
    assert "Traceback" not in run.output, run.output
    after = run.trials()
    assert [trial.state for trial in after] == [TrialState.COMPLETE] * 4
    for old, new in zip(before, after, strict=False):
        assert (new.number, new.params) == (old.number, old.params)
        assert new.intermediate_values.items() >= old.intermediate_values.items()


SILENT = """
    import os, signal, time
    from search import Float
    from optuna.pruners import NopPruner

    kinds = "hangs good stopped good good".split()
    metric, trials, pruner = "score", len(kinds), NopPruner()

    def space(trial):
        return {"x": trial.suggest_float("x", 0, 1), "kind": kinds[trial.number], "epochs": 3}

    def train(config):
        for epoch in range(3):
            if epoch == 1 and config["kind"] == "hangs":
                time.sleep(600)
            if epoch == 1 and config["kind"] == "stopped":
                os.kill(os.getpid(), signal.SIGSTOP)
            yield {"score": epoch, "pid": os.getpid()}
"""


@pytest.mark.parametrize("engine", ["auto", "tune"])
def test_a_worker_that_says_nothing_is_replaced_and_its_trial_fails(folder: Callable[[str], Path], engine: str) -> None:
    run = Run(folder(SILENT), "--engine", engine, "--trial-timeout", "5s")
    try:
        assert run.process.wait(WAIT) == 0, run.output
        until(lambda: not run.alive(), "the end of every process")  # the stopped one, too
    finally:
        run.end()
    states = [trial.state for trial in run.trials()]
    good, failed = TrialState.COMPLETE, TrialState.FAIL
    assert states == [failed, good, failed, good, good]
    for number in (0, 2):
        silent = run.trials()[number]
        assert silent.user_attrs["error"] == "timeout: no epoch within 5 s (--trial-timeout)"
        assert silent.intermediate_values == {1: 0.0}
    pids = [trial.user_attrs["epoch"]["pid"] for trial in run.trials()]
    assert not {pids[0], pids[2]} & set(pids[3:])  # nobody works on in a process that was given up


STEPS = """
    import os, time
    from pathlib import Path
    from search import Float
    from optuna.pruners import NopPruner

    metric, trials, pruner = "score", 4, NopPruner()
    here = Path(__file__).parent

    def space(trial):
        return {"x": trial.suggest_float("x", 0, 1), "number": trial.number, "epochs": 6000}

    def train(config):
        for epoch in range(config["epochs"]):
            time.sleep(0.1)
            yield {"score": epoch, "pid": os.getpid()}
            if (here / f"go{config['number']}").exists():
                return
"""


def test_what_stands_between_driver_and_training_is_stopped_and_killed(folder: Callable[[str], Path]) -> None:
    """Ray's process for a worker is stopped; the server that forks is killed, together with a training process; that
    server is killed again and again.
    """
    run = Run(folder(STEPS), "--engine", "tune", "--trial-timeout", "10s", "--cpus-per-trial", str(CORES))

    def trial(number: int) -> FrozenTrial | None:
        """The trial, once it has two epochs of this attempt."""
        found = run.trials()[number : number + 1]
        return found[0] if found and len(found[0].intermediate_values) > 1 else None

    def processes(word: str) -> list[int]:
        return [pid for pid, line in run.alive().items() if word in line]

    def server() -> int | None:
        """The one that forks; its children look the same."""
        all_of_them = processes("search.engine.processes.forkserver")
        return next((pid for pid in all_of_them if int(stat(pid)[1]) == run.process.pid), None)

    def stat(pid: int) -> list[str]:
        return read(Path(f"/proc/{pid}/stat")).rpartition(") ")[2].split() or ["", "0"]

    try:
        silent = until(lambda: trial(0), "epochs of the first")
        (actor,) = until(lambda: processes("ray::ResourceTrainable"), "Ray's worker")  # Tune's name for it
        os.kill(actor, signal.SIGSTOP)
        second = until(lambda: trial(1), "epochs of the second, by another worker")
        assert actor not in run.alive()
        assert second.user_attrs["epoch"]["pid"] != silent.user_attrs["epoch"]["pid"]

        for pid in (until(server, "the server"), second.user_attrs["epoch"]["pid"]):
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(run.trials()[1].intermediate_values) > len(second.intermediate_values) + 1, "epochs more")
        (run.folder / "go1").touch()

        until(lambda: trial(2), "epochs of the third")
        for _ in range(DEATHS):
            killed = until(server, "the server")
            os.kill(killed, signal.SIGKILL)
            until(lambda: server() != killed, "the end of the server")  # noqa: B023 - at once
        assert run.process.wait(WAIT) == 1, run.output
        until(lambda: not run.alive(), "the end of every process")
    finally:
        run.end()
    assert run.output.endswith(
        "the server that forks training processes died 4 times in a row (signal 9), and forked none in between; "
        "--verbose shows what it says\n"
    )
    assert "Traceback" not in run.output, run.output
    trials = run.trials()
    assert [trial.state.name for trial in trials] == ["FAIL", "COMPLETE", "WAITING"]
    assert trials[0].user_attrs["error"] == "timeout: no epoch within 10 s (--trial-timeout)"
    assert trials[1].user_attrs["attempts"] == 1
    steps = [list(trial.intermediate_values) for trial in trials]
    assert steps == [list(range(1, len(each) + 1)) for each in steps]


@pytest.mark.usefixtures("sys_path")
def test_a_run_that_is_plainly_broken_stops_and_says_why(cli: Cli, write: Callable[[str, str], Path]) -> None:
    broken = """
        from search import Float, SearchSpace
        space, metric, trials = SearchSpace(x=Float(0, 1), epochs=3), "score", 50

        def train(config):
            yield {"score": config["missing"]}
    """
    write("space.py", broken)
    result = cli("run", "space.py", "--max-failures", 4)
    assert result.status == 1, result
    line = 'yield {"score": config["missing"]}'
    said = f"4 trials in a row failed (--max-failures), the last: user_code: space.py:6: {line}: KeyError"
    assert said in result.out + result.err
    assert "Traceback" not in result.out + result.err, result
    states = [trial.state for trial in load_study("sqlite:///studies.db", "space").get_trials()]
    assert TrialState.RUNNING not in states
    assert states.count(TrialState.FAIL) == 4
