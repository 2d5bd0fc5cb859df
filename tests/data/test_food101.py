"""Food-101 in its publisher's layout, against torchvision."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets
from PIL import Image

from search.data import cache
from search.data.base import Split
from search.data.registry import open_source
from search.errors import SearchError

SPLITS: tuple[Split, ...] = ("train", "val", "test")


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)


def food(root: Path) -> Path:
    """Three classes of ten training and three test images."""
    home = root / "food-101"
    (home / "meta").mkdir(parents=True)
    classes = ("waffles", "apple_pie", "ramen")  # not in order, as a JSON file may have them
    for part, numbers in (("train", range(10)), ("test", range(10, 13))):
        listed = {label: [f"{label}/{number}" for number in numbers] for label in classes}
        (home / "meta" / f"{part}.json").write_text(json.dumps(listed))
        for i, name in enumerate(name for names in listed.values() for name in names):
            picture(home / "images" / f"{name}.jpg", i)
    return home


def test_food101_is_split_as_torchvision_has_it(tmp_path: Path) -> None:
    home = food(tmp_path)
    classes, splits = open_source("food101", tmp_path).splits()
    mine = {"train": {*splits["train"], *splits["val"]}, "test": {*splits["test"]}}
    for part in ("train", "test"):
        theirs = torchvision.datasets.Food101(tmp_path, split=part)
        assert theirs.classes == classes
        files = [path.relative_to(home).as_posix() for path in theirs._image_files]
        assert mine[part] == set(zip(files, theirs._labels, strict=True))
    assert Counter(item.label for item in splits["val"]) == {0: 1, 1: 1, 2: 1}
    assert not {*splits["train"]} & {*splits["val"]}
    loaded = cache.load(open_source("food101", tmp_path), 16, SPLITS)
    assert [part.pixels.shape for part in loaded] == [(27, 16, 16, 3), (3, 16, 16, 3), (9, 16, 16, 3)]


def test_a_broken_food101_is_named(tmp_path: Path) -> None:
    home = food(tmp_path)
    (home / "images" / "ramen" / "3.jpg").unlink()
    with pytest.raises(SearchError, match=r"images/ramen/3\.jpg: no such image; the split lists it"):
        cache.load(open_source("food101", tmp_path), 16, SPLITS)
    (home / "meta" / "test.json").write_text('{"ramen": ["ramen/11"]}')
    with pytest.raises(SearchError, match="different classes"):
        open_source("food101", tmp_path).splits()
    (home / "meta" / "train.json").write_text("{")
    with pytest.raises(SearchError, match=r"train\.json: cannot be read"):
        open_source("food101", tmp_path).splits()
