"""The worker: one message an epoch, and no exception ever."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch

from search.engine.worker import SaveWeights, Worker, WorkerConfig, serve
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


def drawn(worker: Worker, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """All messages of a trial."""
    worker.start(settings)
    messages = [worker.step()]
    while "epoch" in messages[-1] and not messages[-1]["last"]:
        messages.append(worker.step())
    return messages


def test_numbers_are_plain(own: Worker) -> None:
    first, *_ = drawn(own, {"x": 0.25, "epochs": 3, "count": 3})
    seconds = first["epoch"].pop("seconds")
    measured = {"score": 0.25, "many": 0, "good": True, "raw": 0.5}
    assert first == {"epoch": measured, "step": 1, "last": False, "cost": {"gpus": 0.0, "cpus": 1}}
    assert [type(value) for value in first["epoch"].values()][::2] == [float, bool]
    assert isinstance(seconds, float)
    assert seconds > 0
    json.dumps(first)


def test_the_last_epoch_says_so(own: Worker) -> None:
    messages = drawn(own, {"x": 0.0, "epochs": 3, "count": 5})
    assert [message["last"] for message in messages] == [False, False, True]


def test_a_train_that_ends_by_itself(own: Worker) -> None:
    for settings in ({"x": 0.0, "epochs": 3, "count": 2}, {"x": 0.0, "count": 2}):
        messages = drawn(own, settings)
        assert [sorted(message) for message in messages] == [
            ["cost", "epoch", "last", "step"],
            ["epoch", "last", "step"],
            ["end"],
        ]
        assert messages[-1] == {"end": True}
    assert own.step() == {"end": True}


def test_an_error_is_one_line_with_its_place(own: Worker) -> None:
    messages = drawn(own, {"x": 0.0, "epochs": 3, "count": 3, "bad": 1})
    line = 'raise ValueError("no such luck\\nand a second line")'
    assert messages[-1] == {"error": f"user_code: own.py:14: {line}: ValueError: no such luck"}
    line = 'for i in range(config["count"]):'
    assert drawn(own, {})[-1] == {"error": f"user_code: own.py:12: {line}: KeyError: 'count'"}
    assert "epoch" in drawn(own, {"x": 0.0, "epochs": 1, "count": 1})[0]  # the next trial is none the worse


def test_a_new_trial_closes_the_one_before(own: Worker) -> None:
    own.start({"x": 0.0, "epochs": 3, "count": 3})
    own.step()
    assert not Path("closed").exists()
    own.start({"x": 1.0, "epochs": 3, "count": 3})
    assert Path("closed").read_text() == "x"
    assert own.step()["epoch"]["score"] == 1.0


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return [1]", "train() yielded a int; it must yield a dict"),
        ("return None", "train() returned a NoneType; it must yield"),
        ("yield {'score': __import__('numpy').zeros(2)}", "train() yielded 'score' as a ndarray"),
    ],
)
def test_a_train_that_is_no_generator_of_dicts(write: Write, tmp_path: Path, body: str, says: str) -> None:
    path = write("odd.py", f"space = None\ndef train(config):\n    {body}\n")
    (message,) = drawn(Worker(WorkerConfig(str(tmp_path), "cpu", 1, str(path))), {})
    assert message["error"].startswith(f"user_code: {says}")


CONFIG: dict[str, Any] = dict(
    model="cnn", dataset="digits", epochs=2, lr=0.05, step_size=1, gamma=0.5, precision="fp32", frozen=[]
)


def test_the_built_in_trainer(tmp_path: Path) -> None:
    worker = Worker(WorkerConfig(str(tmp_path), "cpu", 1))
    first, second = drawn(worker, CONFIG)
    assert set(first) == {"epoch", "step", "last", "ran_on", "notes", "rates", "cost"}
    assert first["cost"]["parameters"] == first["cost"]["trainable"] == 29066
    assert first["cost"]["gpus"] == 0
    assert first["notes"] == []
    assert (first["epoch"]["epoch"], second["epoch"]["epoch"]) == (1, 2)
    assert (first["last"], second["last"]) == (False, True)
    assert first["ran_on"]["device"] == "cpu"
    assert first["ran_on"]["threads"] == torch.get_num_threads() == 1
    assert first["ran_on"]["precision"] == "fp32"
    assert json.loads(json.dumps(first)) == first
    assert set(second) == {*first, "right", "answers"} - {"cost"}
    assert set(second["right"]) == {0, 1}
    assert sum(second["right"]) / len(second["right"]) == second["epoch"]["val_acc"]


def test_notes_are_told_once(tmp_path: Path) -> None:
    worker = Worker(WorkerConfig(str(tmp_path), "cpu", 1))
    first, second = drawn(worker, CONFIG | {"frozen": ["0"], "mixup": 0.2})
    assert first["notes"] == [
        "cnn, frozen=0: computed anew in every epoch: mixup and cutmix change the images at random"
    ]
    assert second["notes"] == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"lr": 1e38, "batch_size": 1000}, "diverged: the validation loss is"),
        ({"lr": 1e30}, "diverged: the training loss is"),
        ({"frozen": ["3"]}, "user_code: frozen='3' matches no parameter of the model"),
        ({"dataset": "caltech101"}, "bad_data: no Caltech-101 in"),
        ({"batch_size": 0}, "user_code: worker.py:"),
    ],
)
def test_what_the_built_in_trainer_refuses(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    (message,) = drawn(Worker(WorkerConfig(str(tmp_path), "cpu", 1)), CONFIG | changed)
    assert list(message) == ["error"]
    assert message["error"].startswith(says)
    assert "\n" not in message["error"]


def test_interrupts_are_not_swallowed(write: Write, tmp_path: Path) -> None:
    path = write("stop.py", "space = None\ndef train(config):\n    yield {}\n    raise KeyboardInterrupt\n")
    worker = Worker(WorkerConfig(str(tmp_path), "cpu", 1, str(path)))
    worker.start({})
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
        here.send((attempt, settings | {"x": x}, None))
        assert here.poll(20)
        message = here.recv()
        assert (message["attempt"], message["epoch"]["score"]) == (attempt, x)
    for score in (1.5, 2.5):
        here.send(None)
        assert here.recv()["epoch"]["score"] == score
    here.send(None)
    assert here.recv() == {"end": True, "attempt": 9}
    here.close()


def test_a_space_file_that_no_longer_loads_is_the_trials_error(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("1 / 0")
    here = served(WorkerConfig(str(tmp_path), "cpu", 1, str(tmp_path / "own.py")))
    here.send((5, {}, None))
    assert here.poll(20)
    message = here.recv()
    assert (message["attempt"], "ZeroDivisionError" in message["error"]) == (5, True)
    here.close()


@pytest.mark.parametrize(
    ("best", "maximize", "kept"), [(None, True, True), (0.0, True, True), (0.0, False, False), (1.0, True, False)]
)
def test_a_leaders_weights_are_kept(tmp_path: Path, best: float | None, maximize: bool, kept: bool) -> None:
    path = tmp_path / "weights" / "0.safetensors"
    worker = Worker(WorkerConfig(str(tmp_path), "cpu", 1, test=True))
    worker.start(CONFIG, SaveWeights(path, "val_acc", maximize, best))
    first = worker.step()
    assert not path.exists()
    last = worker.step()
    assert path.exists() == kept
    assert last["notes"] == []
    assert "test" not in first
    assert last["test"]["images"] == 450
    if kept:
        found = evaluate_kept(path, CONFIG, tmp_path, "cpu", 0)
        assert found == (last["test"]["test_acc"], 450)
    # The model is the next trial's as it was: the same numbers come out.
    worker.start(CONFIG)
    assert worker.step()["epoch"]["train_loss"] == first["epoch"]["train_loss"]


def test_weights_that_cannot_be_written_are_a_note(tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("a file where the folder should be")
    worker = Worker(WorkerConfig(str(tmp_path), "cpu", 1))
    worker.start(CONFIG, SaveWeights(tmp_path / "weights" / "0.safetensors", "val_acc", True, None))
    worker.step()
    last = worker.step()
    assert last["last"]
    (note,) = last["notes"]
    assert note.startswith("its weights are not kept: ")
    assert "test" not in last


def test_a_trial_goes_on_in_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "OFTEN", 0.0)
    settings, place = CONFIG | {"epochs": 4}, WorkerConfig(str(tmp_path), "cpu", 1)
    whole = drawn(Worker(place), settings)
    worker = Worker(place)
    worker.start(settings, None, tmp_path / "checkpoints")
    for _ in range(3):
        worker.step()
    trainer._spare.clear()
    again = Worker(place)
    again.start(settings, None, tmp_path / "checkpoints")
    third, fourth = again.step(), again.step()
    assert (third["step"], third["last"], fourth["step"], fourth["last"]) == (3, False, 4, True)
    for one, other in zip(whole[2:], (third, fourth), strict=True):
        assert {**one["epoch"], "seconds": 0} == {**other["epoch"], "seconds": 0}
