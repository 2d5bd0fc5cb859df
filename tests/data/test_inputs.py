"""The data set's own images: as large as its pictures, at most 64 px, or as `image_side` says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.data.digits import Digits
from search.data.inputs import inputs, own_images
from search.data.registry import open_source
from search.train.batches import load_data


def folder(root: Path, *sizes: tuple[int, int]) -> Path:
    """Class folders with ten pictures each; of these the sizes in turn."""
    for label in ("ant", "bee"):
        (root / "mine" / label).mkdir(parents=True)
        for i in range(10):
            pixels = np.full((*sizes[i % len(sizes)][::-1], 3), 20 * i, np.uint8)
            Image.fromarray(pixels).save(root / "mine" / label / f"{i}.png")
    return root


@pytest.mark.parametrize(
    ("sizes", "side"),
    [([(32, 32)], 32), ([(28, 28)], 28), ([(500, 300)], 64), ([(40, 90), (48, 100), (300, 44)], 44), ([(64, 65)], 64)],
)
def test_small_pictures_stay_as_they_are(tmp_path: Path, sizes: list[tuple[int, int]], side: int) -> None:
    source = open_source("imagefolder:mine", folder(tmp_path, *sizes))
    assert own_images(source).crop == (side, side)
    (train,) = load_data("cnn", "imagefolder:mine", tmp_path, "cpu", ("train",))
    assert train.size == (side, side)


def test_a_side_is_for_models_of_any_size_too() -> None:
    spec = inputs("cnn", Digits(Path()), 16)
    assert (spec.crop, spec.channels, spec.mean) == ((16, 16), "L", Digits.mean)
    (train,) = load_data("cnn", "digits", Path("data"), "cpu", ("train",), None, 16)
    assert (train.size, train.channels) == ((16, 16), 1)
