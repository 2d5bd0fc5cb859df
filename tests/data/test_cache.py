"""The image cache: decoded once, whole or not at all, whatever is killed and whoever comes at the same time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms.v2.functional import center_crop, resize

from search.data import cache
from search.data.base import Content, Split
from search.data.caltech101 import Caltech101
from search.data.digits import Digits
from search.errors import SearchError
from search.models.images import ImageSpec

SPLITS: tuple[Split, ...] = ("train", "val", "test")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "search"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with 6 noise images, 40 x 30, in each of two classes. PNG under a JPEG's name: no pixel is lost."""
    rng = np.random.default_rng(0)
    for label in ("ant", "bee"):
        folder = tmp_path / "data" / "caltech101" / "101_ObjectCategories" / label
        folder.mkdir(parents=True)
        for i in range(6):
            save(folder / f"image_{i:04}.jpg", Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)))
    return tmp_path / "data"


def save(path: Path, image: Image.Image) -> None:
    image.save(path, "PNG")


def image_path(root: Path, name: str) -> Path:
    return root / "caltech101" / "101_ObjectCategories" / name


@dataclass
class Watched(Caltech101):
    """The real source, which notes what is read from it."""

    reads: list[set[str]] = field(default_factory=list)

    def read(self, names: set[str]) -> Iterator[tuple[str, Content]]:
        self.reads.append(set(names))
        return super().read(names)


def test_decoded_once(root: Path) -> None:
    source, calls = Watched(root), []
    first = cache.load(source, 16, ["train", "val"], lambda done, total: calls.append((done, total)))
    assert len(source.reads) == 1
    assert calls == [(8, 8)]
    again = Watched(root)
    second = cache.load(again, 16, ["train", "val"], lambda done, total: calls.append((done, total)))
    assert again.reads == []
    assert len(calls) == 1
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert np.array_equal(one.labels, other.labels)
        assert one[2:] == other[2:]


def test_the_test_split_is_decoded_when_asked_for(root: Path, home: Path) -> None:
    source = Watched(root)
    sealed = {item.name for item in source.splits()[1]["test"]}
    cache.load(source, 16, ["train", "val"])
    assert not list(home.glob("*/test*"))  # its files were read, to know their content
    (test,) = cache.load(source, 16, ["test"])
    assert source.reads[1] == sealed == set(test.names)  # and nothing else a second time


def test_pixels_are_the_pictures(root: Path) -> None:
    for images in cache.load(Caltech101(root), 20, SPLITS):
        assert images.pixels.shape == (4, 20, 20, 3)
        assert images.labels.dtype == np.int64
        assert images.classes == ("ant", "bee")
        for pixels, label, name in zip(images.pixels, images.labels, images.names, strict=True):
            picture = Image.open(image_path(root, name))
            assert images.classes[label] == name.split("/")[0]
            assert np.array_equal(pixels, np.asarray(center_crop(resize(picture, [20]), [20, 20])))


def test_the_centre_of_the_long_side_is_kept(root: Path) -> None:
    for images in cache.load(Caltech101(root), 30, ["train"]):  # as high as the pictures: nothing to resize
        for pixels, name in zip(images.pixels, images.names, strict=True):
            assert np.array_equal(pixels, np.asarray(Image.open(image_path(root, name)))[:, 5:35])


def test_arrays_are_memory_mapped_and_read_only(root: Path) -> None:
    (images,) = cache.load(Caltech101(root), 16, ["val"])
    assert isinstance(images.pixels, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images.pixels[0] = 0


def test_what_is_kept_is_found_by_its_key_alone(root: Path) -> None:
    (val,) = cache.load(Caltech101(root), 16, ("val",))
    found = cache.kept(val.key)
    assert found is not None
    assert np.array_equal(found.pixels, val.pixels)
    assert (found.names, found.classes, found.key) == (val.names, val.classes, val.key)
    assert cache.kept("none-0123/val") is None


def test_grey_pictures_become_rgb(root: Path) -> None:
    grey = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16), "L")
    for path in (root / "caltech101" / "101_ObjectCategories").glob("*/*.jpg"):
        save(path, grey)
    (images,) = cache.load(Caltech101(root), 16, ["train"])
    assert np.array_equal(images.pixels[0], np.stack([np.asarray(grey)] * 3, axis=2))


def test_without_a_size_the_source_decides(root: Path) -> None:
    (images,) = cache.load(Digits(root), None, ["val"])
    assert images.pixels.shape == (449, 8, 8, 1)
    assert images.pixels.max() == 255
    (big,) = cache.load(Digits(root), 16, ["val"])
    assert big.pixels.shape == (449, 16, 16, 3)


def test_the_key_changes_with_size_content_and_splits(root: Path, home: Path) -> None:
    (small,) = cache.load(Caltech101(root), 16, ["train"])
    assert cache.load(Caltech101(root), 20, ["train"])[0].pixels.shape[1] == 20
    save(image_path(root, small.names[0]), Image.new("RGB", (40, 30), "red"))
    (changed,) = cache.load(Caltech101(root), 16, ["train"])
    assert changed.pixels[0, 0, 0].tolist() == [255, 0, 0]
    assert np.array_equal(changed.pixels[1:], small.pixels[1:])
    for name, numbers in (("train.txt", (0, 1, 2, 3)), ("test.txt", (4, 5))):
        lines = [f"{label}/image_{i:04}.jpg" for label in ("ant", "bee") for i in numbers]
        (root / "caltech101" / name).write_text("\n".join(lines))
    (listed,) = cache.load(Caltech101(root), 16, ["test"])
    assert listed.names == ("ant/image_0004.jpg", "ant/image_0005.jpg", "bee/image_0004.jpg", "bee/image_0005.jpg")
    assert len(list(home.iterdir())) == 4


def test_a_broken_image_leaves_nothing_behind(root: Path, home: Path) -> None:
    source = Caltech101(root)
    broken = image_path(root, source.splits()[1]["val"][-1].name)
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-50])
    with pytest.raises(SearchError, match="cannot be read") as error:
        cache.load(source, 16, ["train", "val"])
    assert str(broken) in str(error.value)
    assert not list(home.glob("*/train*")) + list(home.glob("*/val*"))
    broken.write_bytes(whole)
    assert len(cache.load(source, 16, ["train", "val"])) == 2


def test_a_cache_that_cannot_be_written(root: Path, home: Path) -> None:
    home.parent.write_text("in the way")
    with pytest.raises(SearchError, match=r"the image cache .* cannot be used"):
        cache.load(Caltech101(root), 16, ["train"])


# Builds the cache again and again, each time killed at the next of the moments in which it touches the disk.
CRASHES = """
import gc, hashlib, os, pathlib, signal, sys
from search.data import cache
from search.data.caltech101 import Caltech101
root, home = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])

def digest(name):
    os.environ["XDG_CACHE_HOME"] = str(home / name)
    found = hashlib.sha256()
    for images in cache.load(Caltech101(root), 16, ["train", "val"]):
        found.update(images.pixels.tobytes() + images.labels.tobytes() + repr(images[2:]).encode())
    return found.hexdigest()

def build(name, moment):
    child = os.fork()
    if child == 0:
        left = [moment]
        def watch(event, args):
            if event == "open" and str(home) in str(args[0]) or event in ("os.mkdir", "os.rename", "os.rmdir"):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(watch)
        digest(name)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

clean = digest("clean")  # imports what it needs once, and not in every child
gc.freeze()
moment, parts = 1, 0
while (status := build(f"{moment}", moment)) == -signal.SIGKILL:
    parts += bool(list(home.glob(f"{moment}/*/*/*.part")))
    assert digest(f"{moment}") == clean, moment
    assert not list(home.glob(f"{moment}/*/*/*.part")), moment
    moment += 1
assert status == 0, status
gc.unfreeze()
print(moment - 1, parts)
"""


@pytest.mark.whole
def test_a_build_killed_at_any_moment_is_never_used(root: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-c", CRASHES, str(root), str(tmp_path / "crashes")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    moments, half_written = map(int, done.stdout.split())
    assert moments > 10
    assert half_written > 5


@dataclass
class Slow(Caltech101):
    """The real source, which takes its time."""

    def read(self, names: set[str]) -> Iterator[tuple[str, Content]]:
        time.sleep(0.3)
        return super().read(names)


def load_beside_another(root: Path, place: Path) -> None:
    """Load as soon as another process is ready to; write whether this one built it, and a digest of what it found."""
    built: list[int] = []
    (place / f"ready-{os.getpid()}").touch()
    while len(list(place.glob("ready-*"))) < 2:
        time.sleep(0.005)
    train, val = cache.load(Slow(root), 16, ["train", "val"], lambda done, total: built.append(done))
    digest = hashlib.sha256(train.pixels.tobytes() + val.pixels.tobytes()).hexdigest()
    (place / f"said-{os.getpid()}").write_text(f"{bool(built)} {digest}")


def test_two_at_once_build_once_and_agree(root: Path, tmp_path: Path) -> None:
    children = []
    for _ in range(2):
        if (child := os.fork()) == 0:
            try:
                load_beside_another(root, tmp_path)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    said = [path.read_text().split() for path in tmp_path.glob("said-*")]
    assert sorted(built for built, _ in said) == ["False", "True"]
    assert said[0][1] == said[1][1]


def test_the_cache_lies_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    assert cache.cache_root() == home
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", os.sep + "somewhere")
    assert cache.cache_root() == Path("/somewhere/.cache/search")


def test_a_subset_is_stratified_nested_and_always_the_same() -> None:
    (images,) = cache.load(Digits(Path()), None, ["train"])
    before: set[str] = set()
    counts = np.bincount(images.labels)
    for count in (10, 100, 500, 897):
        part = cache.subset(images, count)
        assert len(part.labels) == len(set(part.names)) == count
        assert before < set(part.names)  # a larger one holds every smaller one
        before = set(part.names)
        assert np.array_equal(part.pixels, images.pixels[[images.names.index(name) for name in part.names]])
        assert all(abs(np.bincount(part.labels, minlength=10) - counts * count / 898) <= 1)
        assert part.names == cache.subset(images, count).names
    assert set(cache.subset(images, 10).labels) == set(range(10))
    for whole in (None, 898, 10**6):
        assert cache.subset(images, whole) is images
    with pytest.raises(SearchError, match="subset=9: fewer images than the 10 classes"):
        cache.subset(images, 9)


def test_what_another_version_or_another_making_kept_is_decoded_anew(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that want bicubic pixels do not find the bilinear ones of an earlier run."""
    spec, keys = ImageSpec((24, 24), (16, 16), (0.5,) * 3, (0.5,) * 3), list[str]()
    bicubic, squashed = spec._replace(interpolation="bicubic"), spec._replace(fit="squash")
    for other in (spec, bicubic, squashed, spec._replace(crop=(20, 20)), spec.whole(24)):
        keys.append(cache.load(Caltech101(root), other, ("train",))[0].key)
    assert len(set(keys)) == len(keys)
    source = Watched(root)
    monkeypatch.setattr(cache, "_VERSION", cache._VERSION + 1)
    assert cache.load(source, spec, ("train",))[0].key not in keys
    assert source.reads
