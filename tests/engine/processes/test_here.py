"""Trials on a machine without a GPU: no Ray, and no trial is given up because the driver is slow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cli
from live import CORES, WAIT, Run, until
from optuna.trial import TrialState

from search.study.study import load_study

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


def servers(run: Run) -> list[str]:
    return [line for line in run.alive().values() if "raylet" in line.split(" ")[0]]


def first_epochs(run: Run) -> bool:
    return len([trial for trial in run.trials() if trial.intermediate_values]) == CORES


def test_a_search_starts_no_ray_and_a_process_serves_many_trials(folder: Callable[[str], Path]) -> None:
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


SLOW = """
    import time
    from optuna.pruners import BasePruner
    from search import Float, SearchSpace

    class Slow(BasePruner):
        def prune(self, study, trial):
            time.sleep(3)
            return False

    space = SearchSpace(x=Float(0, 1), epochs=2)
    metric, trials, pruner = "score", 2, Slow()

    def train(config):
        for _ in range(2):
            time.sleep(0.5)
            yield {"score": config["x"]}
"""


@pytest.mark.usefixtures("sys_path")
def test_a_trial_that_has_answered_a_slow_driver_is_not_overdue(cli: Cli, write: Callable[[str, str], Path]) -> None:
    write("space.py", SLOW)
    done = cli("run", "space.py", "--trial-timeout", "2s")
    assert done.status == 0, done
    trials = load_study("sqlite:///studies.db", "space").get_trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
