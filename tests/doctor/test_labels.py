from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from search.config import TrainConfig
from search.data.registry import open_source
from search.doctor.case import Case
from search.doctor.labels import _against_chance, check
from search.train.device import resolve_runtime


def folder(home: Path, count: int, shuffled: bool) -> None:
    """Digits as a folder of pictures, by their label or by another's."""
    digits = load_digits()
    labels = digits.target[:count]
    if shuffled:
        labels = np.random.default_rng(0).permutation(labels)
    for i, (image, label) in enumerate(zip(digits.images[:count], labels, strict=True)):
        (home / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype(np.uint8)).save(home / str(label) / f"{i}.png")


def case(count: int, shuffled: bool) -> Case:
    folder(Path("data/own"), count, shuffled)
    config = TrainConfig(
        model="mlp", hidden=(32,), dataset="imagefolder:own", epochs=1, lr=0.05, step_size=1, gamma=1.0, seed=count
    )
    source = open_source(config.dataset, Path("data"))
    return Case(config, source, Path("data").resolve(), resolve_runtime("fp32", "cpu"), Path("pictures"))


@pytest.mark.parametrize(("shuffled", "status"), [(False, "ok"), (True, "FAIL")])
def test_shuffled_labels_are_told_from_true_ones(shuffled: bool, status: str, one_thread: None) -> None:
    found = check(case(600, shuffled))
    assert found.status == status
    assert "the nearest image in pixels names " in found.seen
    assert ("are they shuffled?" in found.remedy) == shuffled


def test_of_few_images_nothing_is_claimed(one_thread: None) -> None:
    found = check(case(101, True))
    assert found.status == "warn"
    assert "too few validation images" in found.remedy


def test_chance_is_what_the_guesses_reach_by_their_frequencies() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    always = np.zeros(100, np.int64)
    text, better = _against_chance("x", always, labels)
    assert not better  # 90% right, and 90% by chance
    assert text == "x names 90.0% of 100 validation labels, chance 90.0%, p = 0.58"
    assert _against_chance("x", labels, labels)[1]
