"""A training that was interrupted goes on with the same numbers; what is torn or flipped is not gone on from."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from search import TrainConfig
from search.train import resume, train, trainer
from search.train.resume import Checkpoints

pytestmark = pytest.mark.usefixtures("torch_threads")
HOME = Path("checkpoints")
CONFIG: dict[str, Any] = dict(
    model="cnn", dataset="digits", epochs=5, batch_size=128, lr=0.05, step_size=2, gamma=0.5, momentum=0.9, subset=300
)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every epoch."""
    monkeypatch.setattr(resume, "OFTEN", 0.0)


def numbers(config: TrainConfig, stop: int = 99, **options: Any) -> list[dict[str, Any]]:
    """What the epochs measured, up to epoch `stop`, in a process that has forgotten all before."""
    trainer._spare.clear()
    found = []
    epochs = train(config, device="cpu", threads=1, **options)
    for epoch in epochs:
        found.append(epoch.model_dump(exclude={"seconds"}))
        if epoch.epoch == stop:
            break
    epochs.close()
    return found


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"frozen": ["0"]},
        {"schedule": "cosine", "warmup_epochs": 0.7},
        {"schedule": "one_cycle", "optimizer": "adamw", "lr": 0.003},
        {"schedule": "slanted_triangular", "layer_decay": 2.6, "gradual_unfreeze": True},
        {"schedule": "constant", "warmup_epochs": 2.0, "ema": 0.9, "grad_clip": 1.0},
        {"augment": "flip", "mixup": 0.2, "cutmix": 1.0, "label_smoothing": 0.1},
        {"model": "mlp", "dropout": 0.5, "optimizer": "adam", "lr": 0.003},
    ],
    ids=str,
)
def test_the_numbers_are_those_without_the_interruption(always: None, changed: dict[str, Any]) -> None:
    config = TrainConfig(**CONFIG | changed)
    whole = numbers(config)
    before = numbers(config, 3, checkpoints=HOME)
    assert before == whole[:3]
    after = numbers(config, checkpoints=HOME)  # the third was not asked past, so it is not kept
    assert after == whole[2:]


def test_the_last_two_are_kept_and_an_interrupted_write_leaves_the_one_before(always: None) -> None:
    config = TrainConfig(**CONFIG)
    numbers(config, 5, checkpoints=HOME)
    files = sorted(HOME.iterdir())
    assert [file.name.split(".")[0] for file in files] == ["000003", "000004"]
    (HOME / ".123.part").write_bytes(files[1].read_bytes()[:1000])
    files[1].write_bytes(files[1].read_bytes()[:-1])
    assert [epoch["epoch"] for epoch in numbers(config, 4, checkpoints=HOME)] == [4]
    assert not (HOME / ".123.part").exists()


def test_one_flipped_bit_is_seen_wherever_it_is(always: None) -> None:
    config = TrainConfig(**CONFIG)
    numbers(config, 4, checkpoints=HOME)
    kept = {file.name: file.read_bytes() for file in HOME.iterdir()}
    name, content = max(kept.items())
    draw = random.Random(0)
    for _ in range(10):
        for other, whole in kept.items():
            (HOME / other).write_bytes(whole)
        place = draw.randrange(len(content))
        flipped = bytes([content[place] ^ 1 << draw.randrange(8)])
        (HOME / name).write_bytes(content[:place] + flipped + content[place + 1 :])
        state = Checkpoints(HOME).newest(config)
        assert state is not None
        assert state["epoch"] == 2


def test_another_configs_checkpoint_is_not_taken(always: None) -> None:
    numbers(TrainConfig(**CONFIG), 3, checkpoints=HOME)
    other = TrainConfig(**CONFIG | {"lr": 0.06})
    assert numbers(other, 2, checkpoints=HOME) == numbers(other, 2)


def test_what_holds_code_is_not_run(always: None) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path("owned").touch, ()

    HOME.mkdir()
    Checkpoints(HOME).after(1, 1.0, lambda: {"config": Evil()})
    assert len(list(HOME.iterdir())) == 1
    assert Checkpoints(HOME).newest(TrainConfig(**CONFIG)) is None
    assert not Path("owned").exists()


def test_a_disk_that_gives_up_turns_them_off_once_and_says_so(always: None) -> None:
    HOME.write_text("in the way")
    said: list[str] = []
    kept = Checkpoints(HOME, said.append)
    for epoch in (1, 2):
        kept.after(epoch, 1.0, dict)
    assert len(said) == 1
    assert said[0].startswith("no checkpoints from epoch 1 on: ")


def test_they_are_written_where_it_is_cheap_or_time() -> None:
    state = {"x": torch.zeros(25_000_000)}  # 100 MB: expected to take half a second
    kept = Checkpoints(HOME)
    kept.after(1, 5.0, lambda: state)
    assert not HOME.exists()
    kept.after(2, 6.0, lambda: state)  # 11 seconds are worth it
    assert len(list(HOME.iterdir())) == 1
    kept._cost = 10.0
    kept.after(3, 29.0, lambda: state)
    assert len(list(HOME.iterdir())) == 1
    kept.after(4, 1.0, lambda: state)  # 30 in all
    assert len(list(HOME.iterdir())) == 2
