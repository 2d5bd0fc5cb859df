"""The processes of one trial, real ones on CPUs: where one fails, none stays, and the trial's reason is that one's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crewed import alive, forking, kill, made, messages, runs
from live import listening, loopback, until
from optuna.trial import TrialState

from search.engine.driver import Driver
from search.engine.failures import kind
from search.engine.messages import Closed, Ended, Failed, Order, Report, SaveWeights
from search.engine.processes.crew import Crew, _joined
from search.engine.processes.forkserver import Died, ForkServer
from search.engine.rules import Rules, Run
from search.engine.trial import ActiveTrial
from search.space.file import load_space
from search.study.attributes import TrialRecord
from search.study.ending.stopping import Stopping
from search.study.study import open_study

pytestmark = pytest.mark.whole

SETTINGS: dict[str, Any] = {
    "model": "cnn",
    "dataset": "digits",
    "epochs": 2,
    "batch_size": 64,
    "lr": 0.05,
    "schedule": "constant",
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, cache_home: Path) -> Iterator[ForkServer]:
    with forking(tmp_path_factory.mktemp("crew"), cache_home) as started:
        yield started


def lost(crew: Crew) -> None:
    """Everything of the crew is gone."""
    crew.close()
    until(lambda: not alive(crew), "the processes' end")


def on_and_on(crew: Crew) -> None:
    while True:
        crew.receive()
        crew.send(None)


def test_what_two_processes_do_is_the_trials(server: ForkServer, tmp_path: Path) -> None:
    two = made(server)
    keep = SaveWeights(tmp_path / "best.safetensors", "val_acc", maximize=True, best=None)
    first, last, end = messages(two, SETTINGS, keep=keep)
    assert end == Ended(1)
    assert isinstance(first, Report)
    assert isinstance(last, Report)
    assert last.epoch["val_acc"] > 0.5
    assert (last.last, last.val_images) == (True, 449)
    assert first.ran_on is not None
    assert (first.ran_on["ranks"], first.ran_on["threads"]) == (2, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["best.safetensors"]
    one_image = messages(two, SETTINGS | {"batch_size": 1, "subset": 10, "epochs": 1})
    assert isinstance(one_image[0], Report)
    assert one_image[0].notes == ["batch_size=1: of its 2 processes only 1 has images"]
    *_, failed = messages(two, SETTINGS | {"lr": 1e30})  # in both alike, so both serve the next trial
    assert isinstance(failed, Failed)
    assert kind(failed.reason) == "diverged"
    assert not two.torn
    assert messages(two, SETTINGS | {"epochs": 1})[-1] == Ended(1)
    assert len(alive(two)) == 2
    open_here = listening(set(alive(two)))
    assert open_here
    assert all(map(loopback, open_here))
    lost(two)


def test_one_that_runs_out_of_memory_ends_both(server: ForkServer) -> None:
    two = made(server)
    *_, failed = messages(two, SETTINGS | {"model": "models.py:oom"})
    assert isinstance(failed, Failed)
    assert kind(failed.reason) == "oom"
    assert two.torn
    lost(two)


def test_one_that_is_killed_ends_both(server: ForkServer) -> None:
    two = made(server)
    messages(two, SETTINGS, stop=1)
    two.send_bytes(Order(2, SETTINGS | {"epochs": 10_000}).packed())
    kill(two, rank=0)
    with pytest.raises((EOFError, ConnectionResetError)):
        on_and_on(two)
    assert two.how_it_died() == "SIGKILL"
    lost(two)


def test_one_that_hangs_is_waited_for_as_long_as_the_run_says(server: ForkServer) -> None:
    two = made(server, patience=2.0)
    with pytest.raises(TimeoutError):
        messages(two, SETTINGS | {"model": "models.py:hangs"})
    two.close(hangs=True)
    until(lambda: not alive(two), "the processes' end")


def test_both_end_with_the_one_that_asked_for_them(server: ForkServer) -> None:
    two = made(server, patience=None)
    messages(two, SETTINGS, stop=1)
    two.send_bytes(Order(2, SETTINGS | {"epochs": 10_000}).packed())
    for member in two._members:  # as if this process were killed
        member.close()
    until(lambda: not alive(two), "the processes' end")


def test_a_server_that_is_gone_leaves_no_part_of_a_crew(tmp_path: Path) -> None:
    with pytest.raises(Died):
        made(ForkServer(tmp_path, str(tmp_path / "nobody")))


def test_what_only_another_one_notes_is_said_once() -> None:
    first = Report(1, {"val_acc": 0.5}, 1, last=False, notes=["a"])
    assert _joined([first, replace(first, epoch={}, notes=["a", "b"])]) == replace(first, notes=["a", "b"])
    assert _joined([first]) is first
    assert _joined([Closed(1), Closed(1, "raised")]) == Closed(1, "raised")
    assert _joined([Ended(1), Ended(1)]) == Ended(1)


SPACE = """
    from search import SearchSpace, Float, ASHA

    pruner = ASHA(1, 2)
    space = SearchSpace(
        model="models.py:killed", dataset="digits", epochs=4, batch_size=64, lr=Float(1e-9, 1.0, log=True),
        schedule="constant", precision="fp32", seed=1,
    )
"""


class CtrlC:
    """What Ctrl-C does, which comes after an epoch."""

    def on_epoch(self, trial: ActiveTrial) -> None:
        raise KeyboardInterrupt

    def on_end(self, trial: ActiveTrial, state: TrialState, reason: str) -> None: ...


def test_a_run_of_trials_with_two_processes_each(
    server: ForkServer, folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray is told of CPUs only: the GPUs of each trial are faked, for lack of them. One process of the first dies."""
    from search.engine.messages import WorkerConfig
    from search.engine.ray import tune

    monkeypatch.chdir(server.folder / "home")
    space = load_space(folder(SPACE) / "space.py")
    url = f"sqlite:///{Path.cwd()}/studies.db"
    study, stopped = (open_study(url, name, space) for name in ("two", "stopped"))
    for lr in (0.1, 1e-9):
        study.enqueue_trial({"lr": lr})
    driver = Driver(study, space, Rules(trials=2, stopping=Stopping()), run=Run(say=print))
    interrupted = Driver(stopped, space, Rules(trials=2, stopping=Stopping()), [CtrlC()], Run(say=print))
    place = WorkerConfig("data", "cpu", 2, patience=60.0)
    with tune.started(server, place, 2, None) as engine:
        two = replace(engine, workplace=replace(engine.workplace, ranks=2))
        two.run(driver)
        with pytest.raises(KeyboardInterrupt):
            two.run(interrupted)
    trained = [int(path.name.partition("-")[2]) for path in Path.cwd().glob("pid-*")]
    assert len(trained) >= 2
    until(lambda: not any(map(runs, trained)), "the end of both processes")
    assert {trial.state for trial in stopped.trials} == {TrialState.RUNNING}  # which the command puts in the queue
    assert [*stopped.trials[0].intermediate_values] == [1]
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert [TrialRecord(trial).attempts for trial in study.trials] == [1, None]
    assert all((TrialRecord(trial).ran_on or {})["ranks"] == 2 for trial in study.trials)
