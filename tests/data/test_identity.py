"""Which data set it is: by the key of the cache, and by the pictures themselves."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.data import cache
from search.data.base import fingerprint_of
from search.data.digits import Digits
from search.data.identity import Identity
from search.data.reading.skipping import skipping
from search.data.registry import open_source
from search.errors import SearchError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def pictures(folder: Path, colour: int, count: int = 10) -> Path:
    """Two classes of BMPs, each as large as any other, and of one time."""
    for label in ("ant", "bee"):
        (folder / label).mkdir(parents=True)
        for i in range(count):
            pixels = np.full((8, 8, 3), (colour, i, 200 if label == "ant" else 0), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{i}.bmp")
            os.utime(folder / label / f"{i}.bmp", ns=(0, 1_700_000_000_000_000_000))
    return folder


def reds(name: str, root: Path) -> set[int]:
    train, val = cache.load(open_source(f"imagefolder:{name}", root), 8, ("train", "val"))
    return {*np.unique(train.pixels[..., 0]), *np.unique(val.pixels[..., 0])}


def identity(name: str, root: Path, side: int = 8) -> Identity:
    return cache.load(open_source(f"imagefolder:{name}", root), side, ("train",))[0].identity


def test_two_data_sets_of_links_have_two_entries(tmp_path: Path) -> None:
    """Names, sizes and times are the same; the class folders are links."""
    for name, colour in (("one", 10), ("two", 90)):
        there = pictures(tmp_path / "store" / name, colour)
        (tmp_path / name).mkdir()
        for label in ("ant", "bee"):
            (tmp_path / name / label).symlink_to(there / label)
    assert reds("one", tmp_path) == {10}
    assert reds("two", tmp_path) == {90}


def test_equal_names_sizes_and_times_have_two_entries(tmp_path: Path) -> None:
    pictures(tmp_path / "one", 10)
    pictures(tmp_path / "two", 90)
    assert reds("one", tmp_path) == {10}
    assert reds("two", tmp_path) == {90}


def test_what_takes_the_place_of_a_folder_is_another_data_set(tmp_path: Path) -> None:
    """The path is the same, and names, sizes and times are, too."""
    pictures(tmp_path / "a", 10)
    before = identity("a", tmp_path)
    assert reds("a", tmp_path) == {10}
    shutil.rmtree(tmp_path / "a")
    pictures(tmp_path / "a", 90)
    assert reds("a", tmp_path) == {90}
    after = identity("a", tmp_path)
    assert after.fingerprint != before.fingerprint
    assert after[1:3] == before[1:3]


def test_the_same_pictures_are_the_same_data_set_wherever_they_lie(tmp_path: Path) -> None:
    pictures(tmp_path / "a", 10)
    first = identity("a", tmp_path)
    shutil.copytree(tmp_path / "a", tmp_path / "elsewhere" / "b")
    for path in (tmp_path / "elsewhere").rglob("*.bmp"):
        path.touch()
    assert identity("b", tmp_path / "elsewhere", side=16) == first
    assert (first.classes, first.images) == (("ant", "bee"), {"train": 12, "val": 4, "test": 4})
    assert Identity.from_json(first.to_json()) == first
    (tmp_path / "a" / "ant").rename(tmp_path / "a" / "wasp")
    assert identity("a", tmp_path).fingerprint != first.fingerprint


def test_one_pixel_of_one_picture_makes_another_data_set(tmp_path: Path) -> None:
    pictures(tmp_path / "a", 10)
    first = identity("a", tmp_path)
    names = cache.load(open_source("imagefolder:a", tmp_path), 8, ("val",))[0].names
    content = bytearray((tmp_path / "a" / names[0]).read_bytes())
    content[-3] ^= 1
    (tmp_path / "a" / names[0]).write_bytes(content)
    assert identity("a", tmp_path).fingerprint != first.fingerprint


def test_one_pixel_of_the_test_split_makes_another_data_set_though_nothing_of_it_is_decoded(tmp_path: Path) -> None:
    pictures(tmp_path / "a", 10)
    first = identity("a", tmp_path)
    tested = {item.name for item in open_source("imagefolder:a", tmp_path).splits()[1]["test"]}
    path = tmp_path / "a" / sorted(tested)[0]
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    after = identity("a", tmp_path)
    assert (after.fingerprint, after[1:3]) == (first.fingerprint, first[1:3])
    assert after.test != first.test
    assert after.is_other(first)
    assert not list(cache.cache_root().rglob("test"))  # it stays closed
    (tests,) = cache.load(open_source("imagefolder:a", tmp_path), 8, ("test",))
    assert tests.identity == after
    path.write_bytes(b"no picture")
    with pytest.raises(SearchError, match="the image cannot be read: 10 bytes that are no picture"):
        identity("a", tmp_path)
    with skipping(True):
        assert identity("a", tmp_path).test != after.test


def test_a_cache_of_an_older_version_learns_of_the_test_split(tmp_path: Path) -> None:
    pictures(tmp_path / "a", 10)
    first = identity("a", tmp_path)
    (record,) = cache.cache_root().rglob("closed")
    record.unlink()
    assert identity("a", tmp_path) == first
    record.write_bytes(b"torn")
    assert identity("a", tmp_path) == first
    assert not first.is_other(first._replace(test=""))  # of which nothing is known


def test_a_fingerprint_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="there are no images in it"):
        fingerprint_of(tmp_path, [])


def test_what_a_package_carries_is_known_by_its_pixels() -> None:
    (train,) = cache.load(Digits(Path()), None, ["train"])
    (test,) = cache.load(Digits(Path()), 16, ["test"])
    assert train.identity == test.identity
    assert train.identity.images == {"train": 898, "val": 449, "test": 450}


@pytest.mark.parametrize(
    "stored", [None, {}, {"fingerprint": "a"}, 7, {"fingerprint": "a", "classes": 1, "images": 2}, "text"]
)
def test_what_another_program_stored_is_no_identity(stored: object) -> None:
    assert Identity.from_json(stored) is None
