"""What TensorBoard reads back from the event files of a run."""

from __future__ import annotations

from pathlib import Path

from optuna.trial import TrialState
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from search import Float, SearchSpace, answers, correct
from search.engine.driver import Driver
from search.monitor import Correctness, TensorBoard
from search.spacefile import SpaceFile
from search.study import open_study

PACKED = b"as the trainer packed it"


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag to (step, value), as TensorBoard itself reads them."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_each_trials_epochs_are_curves_of_its_own() -> None:
    space = SpaceFile(
        Path("space.py"), "space", SearchSpace(x=Float(0, 1), epochs=2), lambda config: iter(()), metric="score"
    )
    driver = Driver(open_study("sqlite:///studies.db", "s", space), space, 3, listeners=[TensorBoard(Path("runs"))])
    first, second, failed = driver.next(), driver.next(), driver.next()
    assert first is not None
    assert second is not None
    assert failed is not None
    for score, last in ((0.5, False), (0.75, True)):
        driver.receive(first, {"epoch": {"epoch": 1, "score": score, "note": "text", "seconds": 2.0}, "last": last})
    driver.receive(second, {"epoch": {"score": 0.25, "seconds": 1.0}, "last": True})
    driver.receive(failed, {"error": "no"})  # before its first epoch: no folder

    assert sorted(path.name for path in Path("runs").iterdir()) == ["trial-0000", "trial-0001"]
    assert curves(Path("runs/trial-0000")) == {
        "score": [(1, 0.5), (2, 0.75)],
        "seconds": [(1, 2.0), (2, 2.0)],
        "machine_seconds": [(1, 2.0), (2, 4.0)],
    }
    assert curves(Path("runs/trial-0001"))["score"] == [(1, 0.25)]
    assert driver.counts == {TrialState.COMPLETE: 2, TrialState.FAIL: 1}


def test_which_images_were_right_is_kept_at_the_last_epoch() -> None:
    space = SpaceFile(
        Path("space.py"), "space", SearchSpace(x=Float(0, 1), epochs=2), lambda config: iter(()), metric="score"
    )
    driver = Driver(open_study("sqlite:///studies.db", "s", space), space, 2, listeners=[Correctness("s")])
    first, second = driver.next(), driver.next()
    assert first is not None
    assert second is not None
    driver.receive(first, {"epoch": {"score": 0.5, "seconds": 1.0}, "last": False})
    assert not Path("runs").exists()
    driver.receive(
        first, {"epoch": {"score": 0.5, "seconds": 1.0}, "last": True, "right": b"\1\0\1\0", "answers": PACKED}
    )
    driver.receive(second, {"epoch": {"score": 0.5, "seconds": 1.0}, "last": True})  # a train() of the user's own
    assert [trial.user_attrs.get("val_images") for trial in driver.study.get_trials()] == [4, None]
    assert correct.read("s", 0, 4, 2) is not None
    assert not correct.place("s", 1).exists()
    assert answers.place("s", 0).read_bytes() == PACKED
    assert not answers.place("s", 1).exists()
