"""Caltech-101: the real one, and small made-up copies of it in every layout."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.data import cache
from search.data.base import Item, Source, Split
from search.data.caltech101 import Caltech101
from search.data.reading.pictures import read_picture
from search.data.registry import open_source
from search.errors import SearchError

FOLDER, ARCHIVE = "101_ObjectCategories", "101_ObjectCategories.tar.gz"
CLASSES = ("ant", "bee", "yin_yang")
SPLITS: tuple[Split, ...] = ("train", "val", "test")


def tree(folder: Path) -> Path:
    """12 noise images in each of three classes and the clutter class, with the droppings of macOS."""
    rng = np.random.default_rng(0)
    for label in (*CLASSES, "BACKGROUND_Google"):
        (folder / label).mkdir(parents=True)
        for i in range(1, 13):
            noise = rng.integers(0, 256, (14, 20, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / label / f"image_{i:04}.jpg", "JPEG")
        (folder / label / "._image_0001.jpg").write_bytes(b"Mac OS X")
    return folder


def listings(home: Path) -> None:
    """The split files: of each class 8 images known and 4 for the test, out of order, the clutter class too."""
    for name, numbers in (("train.txt", range(8, 0, -1)), ("test.txt", range(12, 8, -1))):
        lines = [f"{label}/image_{i:04}.jpg" for label in ("BACKGROUND_Google", *CLASSES) for i in numbers]
        (home / name).write_text("\n".join(lines) + "\n")


def packed(folder: Path, archive: Path) -> Path:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, FOLDER)
    return archive


def zipped(folder: Path, home: Path) -> Path:
    inner = packed(folder, home / "inner" / ARCHIVE)
    with zipfile.ZipFile(home / "caltech-101.zip", "w", zipfile.ZIP_DEFLATED) as outer:
        outer.writestr("__MACOSX/._caltech-101", "Mac OS X")
        outer.write(inner, f"caltech-101/{ARCHIVE}")
    shutil.rmtree(inner.parent)
    return home / "caltech-101.zip"


def torchvision_download(folder: Path, home: Path) -> Path:
    """As torchvision leaves it: archive unzipped to a folder of its own, images and annotations unpacked."""
    packed(folder, home / "caltech-101" / ARCHIVE)
    (home / "Annotations" / "ant").mkdir(parents=True)
    return Path(shutil.copytree(folder, home / FOLDER))


LAYOUTS: dict[str, Callable[[Path, Path], Path]] = {
    "folder": lambda folder, home: Path(shutil.copytree(folder, home / FOLDER)),
    "archive": lambda folder, home: packed(folder, home / ARCHIVE),
    "zip": zipped,
    "unzipped": lambda folder, home: packed(folder, home / "caltech-101" / ARCHIVE),
    "torchvision": torchvision_download,
}


def lay_out(tmp_path: Path, layout: str, break_it: Callable[[Path], object] = lambda folder: None) -> Path:
    """A data root of its own with the made-up images in `layout`; `break_it` may spoil them before."""
    folder, root = tree(tmp_path / layout / "made"), tmp_path / layout / "data"
    break_it(folder)
    (root / "caltech101").mkdir(parents=True)
    LAYOUTS[layout](folder, root / "caltech101")
    return root


def digests(source: Source) -> dict[str, str]:
    """Each image of the splits by name, as a digest of its pixels."""
    names = {item.name for items in source.splits()[1].values() for item in items}
    return {name: hashlib.sha256(read_picture(data).image.tobytes()).hexdigest() for name, data in source.read(names)}


@pytest.mark.parametrize("listed", [True, False], ids=["split files", "no split files"])
def test_every_layout_gives_the_same_splits_and_pixels(tmp_path: Path, listed: bool) -> None:
    found = []
    for layout in LAYOUTS:
        root = lay_out(tmp_path, layout)
        if listed:
            listings(root / "caltech101")
        source = Caltech101(root)
        found.append((source.splits(), digests(source)))
    assert all(one == found[0] for one in found)
    (classes, splits), pixels = found[0]
    assert classes == list(CLASSES)
    assert {split: len(items) for split, items in splits.items()} == {"train": 12, "val": 12, "test": 12}
    assert len(set(pixels.values())) == len(pixels) == 36  # no image stands for another
    for items in splits.values():
        assert Counter(item.label for item in items) == {0: 4, 1: 4, 2: 4}
        assert all(classes[item.label] == item.name.split("/")[0] for item in items)


def test_split_files_say_which_images_are_the_test(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "folder")
    without = Caltech101(root).splits()
    listings(root / "caltech101")
    _, splits = Caltech101(root).splits()
    assert {item.name[-8:-4] for item in splits["test"]} == {"0009", "0010", "0011", "0012"}
    assert without[1]["test"] != splits["test"]


def test_without_data_the_error_says_what_to_put_where(tmp_path: Path) -> None:
    root = tmp_path / "data"
    with pytest.raises(SearchError) as error:
        open_source("caltech101", root)
    for part in (str(root / "caltech101"), ARCHIVE, "10.22002/D1.20086", "data_root="):
        assert part in str(error.value)
    assert not root.exists()


@pytest.mark.parametrize("layout", ["folder", "archive", "zip"])
@pytest.mark.parametrize("keep", [0, 200, -20], ids=["empty", "half", "tail cut off"])
def test_a_broken_image_is_named(tmp_path: Path, layout: str, keep: int) -> None:
    def cut(folder: Path) -> None:
        image = folder / "bee" / "image_0005.jpg"
        image.write_bytes(image.read_bytes()[:keep])

    source = Caltech101(lay_out(tmp_path, layout, cut))
    with pytest.raises(SearchError, match="cannot be read") as error:
        cache.load(source, 8, SPLITS)
    assert str(source.source / "bee/image_0005.jpg") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_truncated_archive_is_noticed_wherever_it_ends(tmp_path: Path) -> None:
    # Also between two images, where tarfile takes what is left for the whole.
    whole = lay_out(tmp_path, "archive") / "caltech101" / ARCHIVE
    content = whole.read_bytes()
    for end in [*range(0, len(content), 256), len(content) - 1]:
        whole.write_bytes(content[:end])
        source = Caltech101(whole.parent.parent)
        with pytest.raises(SearchError, match="archive is damaged") as error:
            source.splits()
        assert str(whole) in str(error.value)
        listings(whole.parent)  # with split files the archive is first read for its images
        with pytest.raises(SearchError, match="archive is damaged"):
            list(source.read({"ant/image_0001.jpg", "yin_yang/image_0012.jpg"}))
        (whole.parent / "train.txt").unlink()


@pytest.mark.parametrize("layout", ["archive", "zip"])
def test_a_flipped_byte_in_the_archive_is_noticed(tmp_path: Path, layout: str) -> None:
    source = Caltech101(lay_out(tmp_path, layout))
    content = source.source.read_bytes()
    for place in range(len(content) // 4, len(content) * 3 // 4, 997):
        source.source.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        with pytest.raises(SearchError, match="archive is damaged"):
            source.splits()


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "caltech101"
    home.mkdir()
    with zipfile.ZipFile(home / "holiday.zip", "w") as archive:
        archive.writestr("beach.jpg", "sand")
    with pytest.raises(SearchError, match=rf"holiday\.zip: no {ARCHIVE} in it"):
        Caltech101(tmp_path).splits()


@pytest.mark.parametrize(
    ("layout", "says"),
    [("folder", r"; train\.txt or test\.txt names it"), ("archive", ", but the split")],
)
def test_a_split_file_naming_a_missing_image(tmp_path: Path, layout: str, says: str) -> None:
    root = lay_out(tmp_path, layout)
    listings(root / "caltech101")
    with (root / "caltech101" / "train.txt").open("a") as file:
        file.write("bee/image_0999.jpg\n")
    with pytest.raises(SearchError, match=rf"bee/image_0999\.jpg: .*no such image{says}"):
        cache.load(Caltech101(root), 8, SPLITS)


@pytest.mark.parametrize(
    ("file", "line", "says"),
    [
        ("test.txt", "wasp/image_0001.jpg", r"test\.txt: wasp/image_0001\.jpg: no class of that name"),
        # A training image among the test images would make the test accuracy a lie.
        ("test.txt", "bee/image_0001.jpg", r"bee/image_0001\.jpg stands twice"),
        ("train.txt", "bee/image_0001.jpg", r"bee/image_0001\.jpg stands twice"),
        ("train.txt", "wasp/image_0001.jpg", "too few images to split by class"),
    ],
)
def test_a_wrong_line_in_a_split_file(tmp_path: Path, file: str, line: str, says: str) -> None:
    root = lay_out(tmp_path, "folder")
    listings(root / "caltech101")
    with (root / "caltech101" / file).open("a") as lines:
        lines.write(line + "\n")
    with pytest.raises(SearchError, match=says):
        Caltech101(root).splits()


def check_real(classes: list[str], splits: dict[Split, list[Item]]) -> None:
    assert [len(splits[split]) for split in SPLITS] == [2892, 2892, 2893]
    assert len(classes) == 101
    assert "BACKGROUND_Google" not in classes
    assert len({name for split in SPLITS for name, _ in splits[split]}) == 2892 + 2892 + 2893  # disjoint
    assert all(name.startswith(f"{classes[label]}/") for split in SPLITS for name, label in splits[split])
    train, val = (Counter(label for _, label in splits[split]) for split in ("train", "val"))
    assert all(abs(train[label] - val[label]) <= 1 for label in range(101))


def test_the_real_archive(shared_data: Path) -> None:
    source = Caltech101(shared_data)
    classes, splits = source.splits()
    check_real(classes, splits)
    assert Caltech101(shared_data).splits() == (classes, splits)
    for file, names in (("train.txt", ("train", "val")), ("test.txt", ("test",))):
        listed = (shared_data / "caltech101" / file).read_text().split()
        assert {item.name for split in SPLITS if split in names for item in splits[split]} == {
            name for name in listed if not name.startswith("BACKGROUND_Google")
        }
    wanted = {items[i].name for items in splits.values() for i in range(0, 2892, 100)}
    read = dict(source.read(wanted))
    assert set(read) == wanted
    assert all(min(read_picture(data).image.size) > 60 for data in read.values())


def test_the_real_archive_without_split_files(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "caltech101").mkdir()
    (tmp_path / "caltech101" / ARCHIVE).symlink_to(shared_data / "caltech101" / ARCHIVE)
    classes, splits = Caltech101(tmp_path).splits()
    check_real(classes, splits)
