"""The inline engine: real space files, one trial after another in this process."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cli
from optuna.trial import TrialState

from search.engine.base import LimitReached
from search.engine.driver import Driver
from search.engine.inline import Inline
from search.engine.messages import WorkerConfig
from search.engine.rules import Rules, Run
from search.space.file import load_space
from search.study.ending.stopping import Stopping
from search.study.study import load_study, open_study, requeue

pytestmark = pytest.mark.usefixtures("sys_path")
Write = Callable[[str, str], Path]
HEAD = """
from pathlib import Path
from search import ASHA, Float, SearchSpace
metric, pruner = "score", ASHA(1, 4)

def space(trial):
    return {"x": trial.suggest_float("x", 0, 1), "number": trial.number, "epochs": 3}
"""


def drive(path: Path, trials: int = 3, seconds: float = 600, say: Callable[[str], None] = print) -> Driver:
    space = load_space(path)
    study = open_study("sqlite:///studies.db", "s", space)
    requeue(study)
    rules = Rules(trials=trials, stopping=Stopping(time.monotonic() + seconds))
    driver = Driver(study, space, rules, run=Run(say=say))
    Inline(WorkerConfig("data", "cpu", 1, str(path))).run(driver)
    return driver


def test_trials_run_to_their_ends(write: Write) -> None:
    text = """
import numpy as np

def train(config):
    for epoch in range(config["epochs"]):
        if config["number"] == 1 and epoch == 1:
            raise ValueError("no good\\nand more")
        if config["number"] == 2 and epoch == 0:
            raise MemoryError
        yield {"score": np.float32(0.5), "hits": np.int64(3)}
"""
    driver = drive(write("space.py", HEAD + text), trials=4)
    complete, failed, starved, _ = driver.study.get_trials()
    assert (complete.state, complete.intermediate_values) == (TrialState.COMPLETE, {1: 0.5, 2: 0.5, 3: 0.5})
    assert complete.user_attrs["epoch"]["hits"] == 3
    assert complete.user_attrs["epoch"]["seconds"] > 0
    line = 'raise ValueError("no good\\nand more")'
    assert failed.user_attrs["error"] == f"user_code: space.py:14: {line}: ValueError: no good and more"
    assert failed.intermediate_values == {1: 0.5}
    assert starved.user_attrs["error"].startswith("oom: MemoryError")
    assert driver.counts == {TrialState.COMPLETE: 2, TrialState.FAIL: 2}
    assert driver.finished


def test_a_handler_of_ctrl_c_that_train_sets_ends_with_its_epoch(write: Write, cli: Cli) -> None:
    """Else an interrupted trial is taken for one that ended by itself, with the value that it had then."""
    text = """
import signal
stop = []

def train(config):
    signal.signal(signal.SIGINT, lambda *_: stop.append(True))
    for epoch in range(3):
        if stop:
            break
        if epoch == 1:
            signal.raise_signal(signal.SIGINT)
        yield {"score": 0.5}
"""
    before = signal.getsignal(signal.SIGINT)
    assert cli("run", write("space.py", HEAD + text), "--engine", "inline", "--trials", 2, "--name", "s").status == 130
    assert signal.getsignal(signal.SIGINT) is before
    (trial,) = load_study("sqlite:///studies.db", "s").get_trials()
    assert (trial.state, trial.intermediate_values) == (TrialState.WAITING, {1: 0.5})


def test_a_pruned_trials_generator_is_closed_before_the_next_begins(write: Write) -> None:
    text = """
def train(config):
    place = Path(__file__).parent / "log"  # the last generator is closed after the test
    with place.open("a") as log:
        log.write(f"begin {config['number']}\\n")
    try:
        for _ in range(config["epochs"]):
            yield {"score": 1 - config["number"] / 10}
    finally:
        with place.open("a") as log:
            log.write(f"end {config['number']}\\n")
"""
    driver = drive(write("space.py", HEAD + text))
    assert [trial.state.name for trial in driver.study.get_trials()] == ["COMPLETE", "PRUNED", "PRUNED"]
    assert Path("log").read_text().splitlines()[:5] == ["begin 0", "end 0", "begin 1", "end 1", "begin 2"]


def test_out_of_time_stops_between_two_epochs_and_the_trial_goes_on_later(write: Write) -> None:
    text = """
import time

def train(config):
    for epoch in range(config["epochs"]):
        time.sleep(0 if Path("hurry").exists() else 1.1)
        try:
            yield {"score": 0.5}
        except GeneratorExit:
            raise OSError("no room") from None
"""
    path, said = write("space.py", HEAD + text), list[str]()
    with pytest.raises(LimitReached):
        drive(path, trials=1, seconds=1, say=said.append)
    assert said == [
        'trial 0: closing its train(): user_code: space.py:17: raise OSError("no room") from None: OSError: no room'
    ]
    Path("hurry").touch()
    driver = drive(path, trials=1)
    (trial,) = driver.study.get_trials()
    assert (trial.number, trial.state) == (0, TrialState.COMPLETE)
    assert trial.user_attrs["epoch"]["machine_seconds"] > 1  # the first attempt's epoch counts


def test_out_of_time_before_a_trial_stops_too(write: Write) -> None:
    path = write("space.py", HEAD + 'def train(config):\n    yield {"score": 0.5}\n')
    with pytest.raises(LimitReached):
        drive(path, seconds=-1)


def test_a_share_of_a_gpu_that_has_no_effect_is_said(cli: Cli, write: Callable[[str, str], Path]) -> None:
    text = "from search import Float, SearchSpace\nspace = SearchSpace(x=Float(0, 1))\nmetric, trials = 'score', 1\n"
    write("space.py", f"{text}def train(config):\n    yield {{'score': config['x']}}\n")
    out = cli("run", "space.py", "--engine", "inline", "--gpus-per-trial", 0.2).out
    assert "in this process, which sees every GPU that there is; --gpus-per-trial 0.2 shares none\n" in out
