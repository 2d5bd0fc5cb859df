"""Each image decoded once, into a memory-mapped uint8 array that all workers share."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.data.base import NoTestSplit, Source, Split
from search.data.identity import NOWHERE, Identity, listing_of
from search.data.reading.decoding import Closed, Progress, decode, part_of, unreadable, write_list
from search.data.reading.skipping import skips_broken
from search.errors import SearchError, visible
from search.files import shared
from search.files.arrays import Damaged, describe, opened, read_record, tell, write_record

if TYPE_CHECKING:
    from search.models.images import ImageSpec

_VERSION = 3  # of the arrays' making: raise it when their content changes for the same source


class Images(NamedTuple):
    """One split. `pixels`: (N, H, W, C) uint8, memory-mapped; `labels`: (N,) int64; `names`: of the N images.

    `key` changes when the pixels do; `identity` tells the data set from others, wherever and however large its images
    are.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    names: tuple[str, ...]
    key: str
    identity: Identity = NOWHERE
    broken: tuple[tuple[str, str], ...] = ()
    """Images of the split that cannot be read and are left out, and why."""
    unread: tuple[tuple[str, str], ...] = ()
    """Those of the test split, whichever split this is."""
    remarks: Mapping[str, int] = MappingProxyType({})
    """How many images were treated, or look, how."""


def cache_root() -> Path:
    """Where decoded images are kept: ``$XDG_CACHE_HOME/search``, by default ``~/.cache/search``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "search"


def _spec(source: Source, spec: ImageSpec | int | None) -> ImageSpec:
    from search.data.inputs import own_images  # late: it imports torch, which a report must not
    from search.models.images import ImageSpec

    if isinstance(spec, ImageSpec):
        return spec
    if spec is None:
        return own_images(source)
    return ImageSpec((spec, spec), (spec, spec), source.mean, source.std)


def load(
    source: Source, spec: ImageSpec | int | None, splits: Sequence[Split], progress: Progress | None = None
) -> list[Images]:
    """The asked splits of `source`; decodes what no earlier call has.

    `spec`: how a picture becomes a model's image; a number is a square of that side, RGB, and None the data set's own
    images. Only training, validation and the asked splits are kept: of the test images a search sees no pixel. Their
    files are read for the fingerprint, and to know which of them cannot be decoded. A lock lets one process decode
    while others wait, and an array appears under its name only when it is whole. Raises SearchError naming a broken
    image.
    """
    spec = _spec(source, spec)
    key = hashlib.sha256(f"{_VERSION} {source.fingerprint()} {spec.pixels}".encode()).hexdigest()[:16]
    home = cache_root() / f"{type(source).__name__.lower()}-{key}"
    wanted: list[Split] = [*dict.fromkeys((*_ALWAYS, *splits))]
    try:
        shared.make(cache_root(), belongs=False)
        try:
            found = _load(source, spec, home, wanted, progress)
        except PermissionError:  # another user made it, and lets nobody write to it
            found = _load(source, spec, shared.own(home), wanted, progress)
    except OSError as error:
        raise SearchError(
            f"the image cache {home} cannot be used: {error}; XDG_CACHE_HOME=DIR names another place"
        ) from None
    broken = [*dict.fromkeys(image for split in wanted for image in (*found[split].broken, *found[split].unread))]
    if broken and not skips_broken():  # an earlier run left them out
        raise unreadable(source, broken, write_list(source, broken, cache_root() / Path(found[wanted[0]].key).parent))
    return [found[split] for split in splits]


_ALWAYS: tuple[Split, ...] = ("train", "val")
"""What is decoded whatever is asked for: the data set's identity is of their content."""


def _load(
    source: Source, spec: ImageSpec, home: Path, wanted: Sequence[Split], progress: Progress | None
) -> dict[Split, Images]:
    """The splits in the folder `home`; builds those that are missing or damaged. Raises OSError, SearchError."""
    found, _ = _sound(home, wanted)
    if len(found) < len(wanted) or _closed(home) is None:
        shared.make(home)
        with shared.alone(home / "lock", "decodes the same images"):
            found, damaged = _sound(home, wanted)  # another process may have built it meanwhile
            for split, why in damaged.items():
                tell(f"{home / split}: damaged, and decoded again: {why}")
                shutil.rmtree(home / split)
            missing = [split for split in wanted if split not in found]
            if missing or _closed(home) is None:
                _build(source, spec, home, missing, progress)
        found, damaged = _sound(home, wanted)
        for split, why in damaged.items():
            raise OSError(f"{split}: damaged as soon as it was written: {why}")
    contents = [found[split].record["content"] for split in _ALWAYS]
    return {split: _images(home / split, whole, contents) for split, whole in found.items()}


_CLOSED = "closed"
"""The file with what is known of the test split's files, of which no pixel is kept."""


def _closed(home: Path) -> Closed | None:
    """What the file says; None if it is not there, or damaged, or of a version that did not look at the pictures."""
    try:
        record = read_record(home / _CLOSED)
        return Closed(str(record["content"]), _named(record["broken"]))
    except (FileNotFoundError, Damaged, KeyError, TypeError, ValueError):
        return None


def _named(broken: Any) -> tuple[tuple[str, str], ...]:
    """Names and reasons, of a record."""
    return tuple((str(name), str(reason)) for name, reason in broken)


class _Whole(NamedTuple):
    """A split as its folder has it."""

    record: dict[str, Any]
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]


def _sound(home: Path, splits: Sequence[Split]) -> tuple[dict[Split, _Whole], dict[Split, str]]:
    """Those of the splits in the folder `home` that are what was written, and what is wrong with others."""
    found: dict[Split, _Whole] = {}
    damaged: dict[Split, str] = {}
    for split in splits:
        try:
            found[split] = _open(home / split)
        except FileNotFoundError:
            if (home / split).exists():
                damaged[split] = "a file is missing"
        except Damaged as error:
            damaged[split] = str(error)
    return found, damaged


def kept(key: str) -> Images | None:
    """The split that an earlier call of `load` gave this `key`, without its source; None if it is gone."""
    folder = cache_root() / key
    try:
        contents = [read_record(folder.parent / split / _INDEX)["content"] for split in _ALWAYS]
        return _images(folder, _open(folder), contents)
    except (OSError, Damaged):
        return None


def subset(images: Images, count: int | None) -> Images:
    """`count` of the images, in memory, class by class in proportion; all of them if it is None or there are no more.

    Always the same ones, and a smaller subset is part of every larger one. Each class has an image before any
    has its share; raises SearchError if `count` is too few for that.
    """
    check_subset(images, count)
    if count is None or count >= len(images.labels):
        return images
    order = np.random.RandomState(0).permutation(len(images.labels))  # its numbers never change between versions
    place = np.empty(len(order))  # of each image among those of its class, a fraction
    for label in range(len(images.classes)):
        own = order[images.labels[order] == label]
        place[own] = np.arange(len(own)) / max(len(own), 1)
    rows = np.sort(order[np.argsort(place[order], kind="stable")[:count]])
    names = tuple(images.names[row] for row in rows)
    pixels, labels = images.pixels[rows], images.labels[rows]
    return images._replace(pixels=pixels, labels=labels, names=names, key=f"{images.key} {count}")


def check_subset(images: Images, count: int | None) -> None:
    """Raise SearchError if `count` of the images cannot hold one of each class."""
    if count is not None and count < len(images.classes):
        raise SearchError(f"subset={count}: fewer images than the {len(images.classes)} classes")


_INDEX = "index"


def _open(folder: Path) -> _Whole:
    """Raises Damaged, and OSError."""
    name = _INDEX
    try:
        index = read_record(folder / name)
        arrays = [opened(folder / (name := f"{part}.npy"), index[part]) for part in ("pixels", "labels")]
    except Damaged as error:
        raise Damaged(f"{name}: {error}") from None
    return _Whole(index, arrays[0], np.array(arrays[1]))


def _images(folder: Path, whole: _Whole, contents: Sequence[str]) -> Images:
    record, key = whole.record, f"{folder.parent.name}/{folder.name}"
    test = _closed(folder.parent) or Closed()
    identity = Identity.of(record["classes"], record["images"], record["listing"], contents, test.content)
    arrays = (whole.pixels, whole.labels, identity.classes, tuple(record["names"]), key, identity)
    return Images(*arrays, _named(record["broken"]), tuple(test.broken), record["remarks"])


def _build(source: Source, spec: ImageSpec, home: Path, splits: Sequence[Split], progress: Progress | None) -> None:
    """Decode `splits` into folders of their own, which take their names at the very end.

    The test split's files are read as well, for what tells the data set from others, and is broken in it.
    """
    for stale in home.glob("*.part"):
        shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
    classes, listed = source.splits()
    if "test" in splits and not listed["test"]:
        raise NoTestSplit(f"{visible(source.locate(''))}: the data set has no test split")
    whole = {"images": {split: len(items) for split, items in listed.items()}, "listing": listing_of(listed)}
    parts = {split: part_of(home, split) for split in splits}
    try:
        items = {split: listed[split] for split in splits}
        made, closed = decode(source, spec, items, home, progress, listed["test"])
        for split, part in parts.items():
            found = made[split]
            names, labels = [item.name for item in found.items], [item.label for item in found.items]
            np.save(part / "labels.npy", np.array(labels, dtype=np.int64))
            about = {name: describe(np.load(part / f"{name}.npy", mmap_mode="r")) for name in ("pixels", "labels")}
            record: dict[str, Any] = {"classes": classes, "names": names, "content": found.content}
            record |= {"broken": found.broken, "remarks": found.remarks}
            write_record(part / _INDEX, record | whole | about)
            shared.share_all(part)
            part.rename(home / split)
        write_record(home / _CLOSED, {"content": closed.content, "broken": closed.broken})
        shared.share(home / _CLOSED)
    finally:
        for part in parts.values():
            shutil.rmtree(part, ignore_errors=True)
