"""The digits of scikit-learn."""

from __future__ import annotations

from pathlib import Path

from search.data.digits import Digits
from search.data.reading.pictures import read_picture
from search.data.registry import open_source


def test_digits(tmp_path: Path) -> None:
    source = open_source("digits", tmp_path)
    classes, splits = source.splits()
    assert classes == list("0123456789")
    assert {split: len(items) for split, items in splits.items()} == {"train": 898, "val": 449, "test": 450}
    names = [item.name for items in splits.values() for item in items]
    assert len(set(names)) == 1797
    assert Digits(tmp_path).splits() == (classes, splits)
    image = read_picture(next(source.read({splits["val"][0].name}))[1]).image
    assert (image.mode, image.size) == ("L", (8, 8))
