"""A training that was interrupted goes on with the same numbers; what is torn or flipped is not gone on from."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from live import free_port
from s3fs import S3FileSystem

from search import TrainConfig
from search.files import locations
from search.files.locations import Where
from search.train import checkpoints, train, trainer
from search.train.checkpoints import Checkpoints

pytestmark = pytest.mark.usefixtures("torch_threads")
HOME = Path("checkpoints")
CONFIG: dict[str, Any] = dict(
    model="cnn", dataset="digits", epochs=5, batch_size=128, lr=0.05, step_size=2, gamma=0.5, momentum=0.9, subset=300
)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every epoch."""
    monkeypatch.setattr(checkpoints, "OFTEN", 0.0)


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


def test_epochs_of_two_precisions_are_said(always: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a run goes on on another processor."""
    config, said = TrainConfig(**CONFIG | {"precision": "auto"}), list[str]()
    for capabilities in ({"amx_bf16": True}, {}):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found)
        numbers(config, 3, checkpoints=HOME, say=said.append)
    assert said == [
        "epochs up to 2 are in bf16, and the later ones in fp32, which precision='auto' means on this machine"
    ]


@pytest.fixture(params=["folder", "bucket"])
def home(request: pytest.FixtureRequest) -> Where:
    """Where a trial's checkpoints go, of each kind: a path, and the URL of a real object store."""
    return HOME if request.param == "folder" else f"{request.getfixturevalue('bucket')}/s/checkpoints/0"


def contents(home: Where) -> dict[str, bytes]:
    found = {}
    for name in locations.place(home).names():
        with locations.place(home).open(name) as file:
            found[name] = file.read()
    return found


def put(home: Where, name: str, content: bytes) -> None:
    locations.write(locations.under(home, name), lambda part: part.write_bytes(content))


def test_the_last_two_are_kept_and_an_interrupted_write_leaves_the_one_before(always: None, home: Where) -> None:
    config = TrainConfig(**CONFIG)
    numbers(config, 5, checkpoints=home)
    files = contents(home)
    assert [name.split(".")[0] for name in files] == ["000003", "000004"]
    last = max(files)
    put(home, ".123.part", files[last][:1000])
    put(home, last, files[last][:-1])
    assert [epoch["epoch"] for epoch in numbers(config, 4, checkpoints=home)] == [4]
    assert list(contents(home)) == [min(files)]


def test_one_flipped_bit_is_seen_wherever_it_is(always: None, home: Where) -> None:
    config = TrainConfig(**CONFIG)
    numbers(config, 4, checkpoints=home)
    kept = contents(home)
    name, content = max(kept.items())
    draw = random.Random(0)
    for _ in range(10):
        for other, whole in kept.items():
            put(home, other, whole)
        place = draw.randrange(len(content))
        flipped = bytes([content[place] ^ 1 << draw.randrange(8)])
        put(home, name, content[:place] + flipped + content[place + 1 :])
        state = Checkpoints(home).newest(config)
        assert state is not None
        assert state["epoch"] == 2


def test_what_was_deleted_is_not_missed(always: None, home: Where) -> None:
    config = TrainConfig(**CONFIG)
    numbers(config, 4, checkpoints=home)
    locations.place(home).delete(max(contents(home)))
    assert [epoch["epoch"] for epoch in numbers(config, 3, checkpoints=home)] == [3]
    locations.place(home).delete(*contents(home))
    assert Checkpoints(home).newest(config) is None


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


def test_a_disk_that_gives_up_is_said_once_and_tried_again(always: None) -> None:
    HOME.write_text("in the way")
    said: list[str] = []
    kept = Checkpoints(HOME, said.append)
    for epoch in (1, 2):
        kept.after(epoch, 1.0, dict)
    (line,) = said
    assert line.startswith("no checkpoint after epoch 1, tried again later: ")
    HOME.unlink()
    kept.after(3, 1.0, dict)
    assert [name[:6] for name in contents(HOME)] == ["000003"]
    assert len(said) == 1


def test_what_cannot_be_read_now_is_not_deleted(always: None) -> None:
    config, said = TrainConfig(**CONFIG), list[str]()
    numbers(config, 4, checkpoints=HOME)
    last = HOME / max(contents(HOME))
    last.rename("elsewhere")
    last.mkdir()  # fails to open, as a disk may
    state = Checkpoints(HOME, said.append).newest(config)
    assert state is not None
    assert state["epoch"] == 2
    assert said[0].startswith("a checkpoint cannot be read: ")
    assert last.exists()


def test_a_store_that_is_away_costs_a_line_and_little_of_the_training(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(S3FileSystem, "retries", 1)
    S3FileSystem.clear_instance_cache()
    said: list[str] = []
    kept = Checkpoints(f"{bucket}/x", said.append)
    assert kept.newest(TrainConfig(**CONFIG)) is None
    kept.after(1, 60.0, dict)
    assert [line.partition(":")[0] for line in said] == [
        "no checkpoint to go on from",
        "no checkpoint after epoch 1, tried again later",
    ]
    kept._cost = 10.0  # it waited for so long
    kept.after(2, 60.0, dict)  # or else it would say so again
    assert kept._trained == 60.0
    kept.after(3, 141.0, dict)
    assert kept._trained == 0.0


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
