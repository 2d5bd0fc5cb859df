"""The worker: one message an epoch, and no exception ever."""

from __future__ import annotations

import json
import os
import pickle
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch

from search import predictions
from search.engine.messages import Ended, Failed, Message, Order, Report, SaveWeights, WorkerConfig
from search.engine.worker import Worker, serve
from search.train import checkpoints, trainer
from search.train.evaluate import evaluate_kept

Write = Callable[[str, str], Path]

OWN = """
    from pathlib import Path
    import numpy as np
    from search import Float, SearchSpace

    space = SearchSpace(x=Float(0, 1), epochs=3)
    closed = []


    def train(config):
        try:
            for i in range(config["count"]):
                if i == config.get("bad"):
                    raise ValueError("no such luck\\nand a second line")
                yield {"score": np.float32(config["x"] + i), "many": np.int64(i), "good": np.bool_(True), "raw": 0.5}
        finally:
            with (Path(__file__).parent / "closed").open("a") as file:  # may be after the test
                file.write("x")
"""


pytestmark = pytest.mark.usefixtures("sys_path", "torch_threads")


@pytest.fixture
def own(write: Write, tmp_path: Path) -> Worker:
    return Worker(WorkerConfig(str(tmp_path), "cpu", 1, str(write("own.py", OWN))))


def drawn(worker: Worker, settings: dict[str, Any]) -> list[Message]:
    """All messages of a trial."""
    worker.start(Order(7, settings))
    messages = [worker.step()]
    while isinstance(messages[-1], Report) and not messages[-1].last:
        messages.append(worker.step())
    assert {message.attempt for message in messages} == {7}
    return messages


def reports(worker: Worker, settings: dict[str, Any]) -> list[Report]:
    """All messages of a trial but its end, which are epochs."""
    return [report(message) for message in drawn(worker, settings) if message != Ended(7)]


def report(message: Message) -> Report:
    assert isinstance(message, Report)
    return message


def test_numbers_are_plain(own: Worker) -> None:
    first, *_ = reports(own, {"x": 0.25, "epochs": 3, "count": 3})
    seconds = first.epoch.pop("seconds")
    measured = {"score": 0.25, "many": 0, "good": True, "raw": 0.5}
    assert first == Report(
        7, measured, 1, last=False, cost={"gpus": 0.0, "cpus": 1}, code=first.code, place="own.py:15: "
    )
    assert len(first.code or "") == 12
    assert [type(value) for value in first.epoch.values()][::2] == [float, bool]
    assert isinstance(seconds, float)
    assert seconds > 0
    assert pickle.loads(pickle.dumps(first)) == first  # noqa: S301 - our own, as it goes to the driver


def test_a_train_yields_as_often_as_it_likes(own: Worker) -> None:
    messages = reports(own, {"x": 0.0, "epochs": 1, "count": 3})
    assert [(message.step, message.last) for message in messages] == [(1, False), (2, False), (3, False)]


def test_a_train_that_ends_by_itself(own: Worker) -> None:
    for settings in ({"x": 0.0, "epochs": 3, "count": 2}, {"x": 0.0, "count": 2}):
        *epochs, end = drawn(own, settings)
        assert [(report(epoch).step, report(epoch).cost is None) for epoch in epochs] == [(1, False), (2, True)]
        assert end == Ended(7)
    assert own.step() == Ended(7)


def test_an_error_is_one_line_with_its_place(own: Worker) -> None:
    messages = drawn(own, {"x": 0.0, "epochs": 3, "count": 3, "bad": 1})
    line = 'raise ValueError("no such luck\\nand a second line")'
    assert messages[-1] == Failed(7, f"user_code: own.py:14: {line}: ValueError: no such luck and a second line")
    line = 'for i in range(config["count"]):'
    assert drawn(own, {})[-1] == Failed(7, f"user_code: own.py:12: {line}: KeyError: 'count'")
    assert reports(own, {"x": 0.0, "epochs": 1, "count": 1})  # the next trial is none the worse


def test_a_new_trial_closes_the_one_before(own: Worker) -> None:
    own.start(Order(1, {"x": 0.0, "epochs": 3, "count": 3}))
    own.step()
    assert not Path("closed").exists()
    own.start(Order(2, {"x": 1.0, "epochs": 3, "count": 3}))
    assert Path("closed").read_text() == "x"
    assert report(own.step()).epoch["score"] == 1.0


CONFIG: dict[str, Any] = dict(
    model="cnn",
    dataset="digits",
    epochs=2,
    subset=320,
    lr=0.05,
    step_size=1,
    gamma=0.5,
    precision="fp32",
    frozen=[],
)


def test_the_built_in_trainer(tmp_path: Path) -> None:
    worker = Worker(WorkerConfig(str(tmp_path), "cpu", 1))
    first, second = reports(worker, CONFIG)
    assert first.cost is not None
    assert first.cost["parameters"] == first.cost["trainable"] == 29066
    assert first.cost["gpus"] == 0
    assert (first.notes, first.val_images, first.predictions, first.test) == ([], None, None, None)
    assert [(told.epoch["epoch"], told.step, told.last) for told in (first, second)] == [(1, 1, False), (2, 2, True)]
    assert first.ran_on is not None
    assert first.ran_on["device"] == "cpu"
    assert first.ran_on["threads"] == torch.get_num_threads() == 1
    assert first.ran_on["precision"] == "fp32"
    for stored in (first.epoch, first.cost, first.ran_on):
        assert json.loads(json.dumps(stored)) == stored
    assert second.cost is None
    assert second.val_images is not None
    assert second.predictions is not None
    predictions.write("s", 0, second.predictions)
    right = round(second.epoch["val_acc"] * second.val_images)
    assert predictions.read("s", 0, second.val_images, right) is not None


def test_notes_are_told_once(tmp_path: Path) -> None:
    worker = Worker(WorkerConfig(str(tmp_path), "cpu", 1))
    first, second = reports(worker, CONFIG | {"frozen": ["0"], "mixup": 0.2})
    assert first.notes == ["cnn, frozen=0: computed anew in every epoch: mixup and cutmix change the images at random"]
    assert second.notes == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"lr": 1e38, "batch_size": 1000}, "diverged: the validation loss is"),
        ({"lr": 1e30}, "diverged: the training loss is"),
        ({"frozen": ["3"]}, "user_code: frozen='3' matches no parameter of the model"),
        ({"dataset": "caltech101"}, "bad_data: no Caltech-101 in"),
        (
            {"batch_size": 0},
            "user_code: ValidationError: 1 validation error for TrainConfig batch_size",
        ),
    ],
)
def test_what_the_built_in_trainer_refuses(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    (message,) = drawn(Worker(WorkerConfig(str(tmp_path), "cpu", 1)), CONFIG | changed)
    assert isinstance(message, Failed)
    assert message.reason.startswith(says)
    assert "\n" not in message.reason


def test_interrupts_are_not_swallowed(write: Write, tmp_path: Path) -> None:
    path = write("stop.py", "space = None\ndef train(config):\n    yield {}\n    raise KeyboardInterrupt\n")
    worker = Worker(WorkerConfig(str(tmp_path), "cpu", 1, str(path)))
    worker.start(Order(1, {}))
    worker.step()
    with pytest.raises(KeyboardInterrupt):
        worker.step()


def served(place: WorkerConfig) -> Connection:
    """The driver's end of a worker that serves until it is closed."""
    here, there = Pipe()

    def work() -> None:
        with suppress(EOFError):
            serve(there, place, {})

    threading.Thread(target=work, daemon=True).start()
    assert here.recv() == os.getpid()
    return here


def test_settings_alone_begin_a_trial(write: Write, tmp_path: Path) -> None:
    """Its first epoch does not wait until Tune, busy with another trial, asks for it."""
    here = served(WorkerConfig(str(tmp_path), "cpu", 1, str(write("own.py", OWN))))
    settings = {"x": 0.25, "epochs": 3, "count": 3}
    for attempt, x in ((7, 0.25), (9, 0.5)):
        here.send(Order(attempt, settings | {"x": x}))
        assert here.poll(20)
        message = report(here.recv())
        assert (message.attempt, message.epoch["score"]) == (attempt, x)
    for score in (1.5, 2.5):
        here.send(None)
        assert report(here.recv()).epoch["score"] == score
    here.send(None)
    assert here.recv() == Ended(9)
    here.close()


def test_a_space_file_that_no_longer_loads_is_the_trials_error(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("1 / 0")
    here = served(WorkerConfig(str(tmp_path), "cpu", 1, str(tmp_path / "own.py")))
    here.send(Order(5, {}))
    assert here.poll(20)
    message = here.recv()
    assert (message.attempt, "ZeroDivisionError" in message.reason) == (5, True)
    here.close()


@pytest.mark.parametrize(
    ("best", "maximize", "kept"), [(None, True, True), (0.0, True, True), (0.0, False, False), (1.0, True, False)]
)
def test_a_leaders_weights_are_kept(tmp_path: Path, best: float | None, maximize: bool, kept: bool) -> None:
    path = tmp_path / "weights" / "0.safetensors"
    worker = Worker(WorkerConfig(str(tmp_path), "cpu", 1, test=True))
    worker.start(Order(1, CONFIG, SaveWeights(path, "val_acc", maximize, best)))
    first = report(worker.step())
    assert not path.exists()
    last = report(worker.step())
    assert path.exists() == kept
    assert last.notes == []
    assert first.test is None
    assert last.test is not None
    assert last.test["images"] == 450
    if kept:
        found = evaluate_kept(path, CONFIG, tmp_path, "cpu", 0)
        assert found == (last.test["test_acc"], 450)
    # The model is the next trial's as it was: the same numbers come out.
    worker.start(Order(2, CONFIG))
    assert report(worker.step()).epoch["train_loss"] == first.epoch["train_loss"]


def test_weights_that_cannot_be_written_are_a_note(tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("a file where the folder should be")
    worker = Worker(WorkerConfig(str(tmp_path), "cpu", 1))
    worker.start(Order(1, CONFIG, SaveWeights(tmp_path / "weights" / "0.safetensors", "val_acc", True, None)))
    worker.step()
    last = report(worker.step())
    assert last.last
    (note,) = last.notes
    assert note.startswith("its weights are not kept: ")
    assert last.test is None


def test_a_trial_goes_on_in_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "OFTEN", 0.0)
    settings, place = CONFIG | {"epochs": 4}, WorkerConfig(str(tmp_path), "cpu", 1)
    whole = reports(Worker(place), settings)
    worker = Worker(place)
    worker.start(Order(1, settings, None, tmp_path / "checkpoints"))
    for _ in range(3):
        worker.step()
    trainer._spare.clear()
    again = Worker(place)
    again.start(Order(2, settings, None, tmp_path / "checkpoints"))
    third, fourth = report(again.step()), report(again.step())
    assert (third.step, third.last, fourth.step, fourth.last) == (3, False, 4, True)
    for one, other in zip(whole[2:], (third, fourth), strict=True):
        assert {**one.epoch, "seconds": 0} == {**other.epoch, "seconds": 0}
