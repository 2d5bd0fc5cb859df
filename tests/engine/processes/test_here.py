"""The first trials of a run on this machine, without Ray, and how Tune takes over."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from live import CORES, WAIT, Run, until
from optuna.trial import TrialState

WAITS = """
    import os, time
    from pathlib import Path
    from optuna.pruners import NopPruner
    from search import Float, SearchSpace

    space = SearchSpace(x=Float(0, 1), epochs=2)
    metric, trials, pruner = "score", len(os.sched_getaffinity(0)) + 4, NopPruner()
    here = Path(__file__).parent

    def train(config):
        began = time.time()
        yield {"score": config["x"], "began": began, "pid": os.getpid()}
        while not (here / "go").exists():
            time.sleep(0.05)
        yield {"score": config["x"], "began": began, "pid": os.getpid()}
"""
SOON = """
import sys
from search.cli import main
from search.engine.processes import here
here.ALONE = 1.0
sys.argv[0] = "search"
main()
"""
PROGRAM = [sys.executable, "-c", SOON]


def servers(run: Run) -> list[str]:
    return [line for line in run.alive().values() if "raylet" in line.split(" ")[0]]


def first_epochs(run: Run) -> bool:
    return len([trial for trial in run.trials() if trial.intermediate_values]) == CORES


def test_a_short_search_starts_no_ray(folder: Callable[[str], Path]) -> None:
    run = Run(folder(WAITS))
    try:
        until(lambda: first_epochs(run), "an epoch of each")
        assert servers(run) == []
        (run.folder / "go").touch()
        assert run.process.wait(WAIT) == 0, run.output
        until(lambda: not run.alive(), "the end of every process")
    finally:
        run.end()
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETE] * (CORES + 4)
    assert f"no GPU: training on {CORES} CPU core" in run.output
    pids = {trial.user_attrs["epoch"]["pid"] for trial in run.trials()}
    assert len(pids) == CORES  # each process has served several trials


def test_tune_takes_over_and_what_runs_goes_on(folder: Callable[[str], Path]) -> None:
    run = Run(folder(WAITS), program=PROGRAM)
    try:
        until(lambda: first_epochs(run), "an epoch of each")
        before = run.trials()
        until(lambda: servers(run), "Ray")
        (run.folder / "go").touch()
        assert run.process.wait(WAIT) == 0, run.output
        until(lambda: not run.alive(), "the end of every process")
    finally:
        run.end()
    after = run.trials()
    assert [trial.state for trial in after] == [TrialState.COMPLETE] * (CORES + 4)
    for old, new in zip(before, after, strict=False):  # not begun again
        assert new.user_attrs["epoch"]["began"] == old.user_attrs["epoch"]["began"]
    early = {trial.user_attrs["epoch"]["pid"] for trial in before}
    assert not early & {trial.user_attrs["epoch"]["pid"] for trial in after[CORES:]}
    assert all("attempts" not in trial.user_attrs for trial in after)


def test_a_process_that_dies_after_that_is_replaced_by_tune(folder: Callable[[str], Path]) -> None:
    run = Run(folder(WAITS), program=PROGRAM)
    try:
        until(lambda: first_epochs(run), "an epoch of each")
        until(lambda: servers(run), "Ray")
        os.kill(run.trials()[0].user_attrs["epoch"]["pid"], signal.SIGKILL)
        until(lambda: run.trials()[0].user_attrs.get("attempts") == 1, "the death")
        (run.folder / "go").touch()
        assert run.process.wait(WAIT) == 0, run.output
    finally:
        run.end()
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETE] * (CORES + 4)
    assert "Traceback" not in run.output


def test_ctrl_c_after_that_puts_all_of_them_back(folder: Callable[[str], Path]) -> None:
    run = Run(folder(WAITS), program=PROGRAM)
    try:
        until(lambda: first_epochs(run), "an epoch of each")
        until(lambda: servers(run), "Ray")
        os.killpg(run.process.pid, signal.SIGINT)
        (run.folder / "go").touch()
        assert run.process.wait(WAIT) == 130, run.output
        until(lambda: not run.alive(), "the end of every process")
    finally:
        run.end()
    assert {trial.state for trial in run.trials()} == {TrialState.WAITING}
    assert "Traceback" not in run.output
