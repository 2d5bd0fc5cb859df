"""A user's own folders, against torchvision's ImageFolder."""

from __future__ import annotations

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


def one_folder(home: Path) -> Path:
    for label in ("cat", "dog"):
        for i in range(10):
            picture(home / label / f"{i}.{'PNG' if i % 2 else 'jpg'}", i)
    picture(home / "cat" / "deeper" / "10.png")
    picture(home / "dog" / ".thumbs" / "1.png")
    (home / "cat" / "notes.txt").write_text("no picture")
    (home / "empty").mkdir()
    return home


@pytest.mark.parametrize("absolute", [True, False])
def test_one_folder_is_split_class_by_class(tmp_path: Path, absolute: bool) -> None:
    home = one_folder(tmp_path / "data" / "pets")
    source = open_source(f"imagefolder:{home if absolute else 'pets'}", tmp_path / "data")
    classes, splits = source.splits()
    assert classes == ["cat", "dog"]
    assert [len(splits[split]) for split in SPLITS] == [12, 4, 5]
    names = [item.name for split in SPLITS for item in splits[split]]
    expected = {path.relative_to(home).as_posix() for path in home.rglob("*.*") if path.suffix != ".txt"}
    assert set(names) == {name for name in expected if ".thumbs" not in name}
    assert len(set(names)) == len(names)
    for items in splits.values():
        counts = Counter(item.label for item in items)
        assert abs(counts[0] - counts[1]) <= 1
        assert all(item.name.startswith(classes[item.label] + "/") for item in items)
    assert open_source(f"imagefolder:{home}", tmp_path).splits() == (classes, splits)
    (val,) = cache.load(source, None, ["val"])
    assert val.pixels.shape == (4, 20, 20, 3)


def three_folders(home: Path) -> Path:
    for part, count in (("train", 4), ("val", 2), ("test", 3)):
        for label in ("cat", "dog"):
            for i in range(count):
                picture(home / part / label / f"{i}.png", i)
    return home


def test_three_folders_are_the_splits(tmp_path: Path) -> None:
    three_folders(tmp_path / "pets")
    classes, splits = open_source("imagefolder:pets", tmp_path).splits()
    for split in SPLITS:
        theirs = torchvision.datasets.ImageFolder(tmp_path / "pets" / split)
        assert theirs.classes == classes
        names = [(Path(path).relative_to(tmp_path / "pets").as_posix(), label) for path, label in theirs.samples]
        assert splits[split] == names


def test_a_new_picture_is_another_fingerprint(tmp_path: Path) -> None:
    home = one_folder(tmp_path / "pets")
    before = open_source("imagefolder:pets", tmp_path).fingerprint()
    assert open_source("imagefolder:pets", tmp_path).fingerprint() == before
    picture(home / "dog" / "new.png")
    assert open_source("imagefolder:pets", tmp_path).fingerprint() != before


def test_a_folder_that_is_no_data_set_says_why(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"imagefolder: no folder or file .*/pets; it is laid out as class folders"):
        open_source("imagefolder:pets", tmp_path)
    home = tmp_path / "pets"
    home.mkdir()
    with pytest.raises(SearchError, match="no pictures in it"):
        open_source("imagefolder:pets", tmp_path).splits()
    picture(home / "cat" / "1.png")
    picture(home / "dog" / "1.png")
    with pytest.raises(SearchError, match="too few images to split by class"):
        open_source("imagefolder:pets", tmp_path).splits()


def test_three_folders_that_do_not_fit_together(tmp_path: Path) -> None:
    home = three_folders(tmp_path / "pets")
    picture(home / "val" / "horse" / "1.png")
    with pytest.raises(SearchError, match="val has classes that train has not: horse; known are cat, dog"):
        open_source("imagefolder:pets", tmp_path).splits()
    (home / "val" / "horse" / "1.png").unlink()
    for path in (home / "test").rglob("*.png"):
        path.unlink()
    with pytest.raises(SearchError, match="pets/test: no class folders with pictures"):
        open_source("imagefolder:pets", tmp_path).splits()


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    home = one_folder(tmp_path / "pets")
    (home / "dog" / "4.jpg").write_bytes(b"no picture")
    with pytest.raises(SearchError, match=r"pets/dog/4\.jpg: the image cannot be read"):
        cache.load(open_source("imagefolder:pets", tmp_path), None, SPLITS)
