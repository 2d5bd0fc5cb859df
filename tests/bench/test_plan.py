"""What a bench runs where there is a GPU, whose step takes some milliseconds: enough of them, and whole ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import bench, image_files, sides
from benchmarks.plan import FULL, GPU, QUICK
from benchmarks.rows import BATCH, TRAIN_IMAGES, Bench
from search.config import make_config
from search.doctor.cost import full_batches


def test_a_gpu_is_measured_on_hundreds_of_steps_and_epochs_and_the_peer_on_whole_epochs() -> None:
    assert GPU.steps >= 200
    assert GPU.epochs >= 100
    assert GPU.most is GPU.few is None
    assert GPU.loaders == GPU.readers == (4, 16)
    assert {"finetuning-alexnet", "finetuning-resnet50", "finetuning-vit_b_16"} <= bench.measures(
        Bench(GPU, Path(), Path(), 1, gpu=True)
    ).keys()
    assert FULL.steps < GPU.steps
    assert not QUICK.models


@pytest.mark.parametrize("model", GPU.models)
def test_a_row_of_a_gpu_takes_the_steps_of_its_plan(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides are faked: this machine has no GPU."""
    asked: list[Any] = []

    def steps(root: Path, name: str, count: int) -> float:
        asked.append((name, count))
        return 5000.0

    def epoch(images: Path, batches: int | None, warm: bool, *words: str) -> dict[str, float]:
        asked.append((batches, words))
        return {"train_seconds": 10.0, "train_fraction": 1.0, "val_seconds": 2.0, "val_fraction": 1.0, "images": 1000.0}

    monkeypatch.setattr(image_files, "ours_steps", steps)
    monkeypatch.setattr(sides, "peer_epoch", epoch)
    row = Bench(GPU, Path(), Path(), 1, gpu=True, log=lambda line: None).finetuning(model)
    assert (model, 200) in asked
    assert all(batches is None for batches, words in asked if isinstance(words, tuple))
    assert row.ours == 5000
    assert "ours: 200 steps of the trainer" in row.note


def test_the_steps_are_of_full_batches() -> None:
    config = make_config(
        dict(model="alexnet", dataset="caltech101", epochs=1, batch_size=BATCH, lr=0.01, schedule="constant")
    )
    batches = full_batches(config, TRAIN_IMAGES)
    assert [len(batch) for batch in batches] == [256] * 11
    assert len({int(index) for batch in batches for index in batch}) == 256 * 11
