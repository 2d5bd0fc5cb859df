"""Each image decoded once, into a memory-mapped uint8 array that all workers share."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from search.data.base import Content, Item, Source, Split, decode
from search.data.frames import frame
from search.data.identity import NOWHERE, Identity, content_of, listing_of
from search.errors import SearchError
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


def cache_root() -> Path:
    """Where decoded images are kept: ``$XDG_CACHE_HOME/search``, by default ``~/.cache/search``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "search"


def _spec(source: Source, spec: ImageSpec | int | None) -> ImageSpec:
    from search.data.inputs import own_images  # late: it imports torch, which a report must not
    from search.models.images import ImageSpec

    if isinstance(spec, ImageSpec):
        return spec
    own = own_images(source)
    return own if spec is None else ImageSpec((spec, spec), (spec, spec), own.mean, own.std)


Progress = Callable[[int, int], None]
"""Called with how many images are done, of how many."""


def load(
    source: Source, spec: ImageSpec | int | None, splits: Sequence[Split], progress: Progress | None = None
) -> list[Images]:
    """The asked splits of `source`; decodes what no earlier call has.

    `spec`: how a picture becomes a model's image; a number is a square of that side, RGB, and None the data set's own
    images. Only the asked splits are decoded, so that a search never touches the test images. A lock lets one process
    decode while others wait, and an array appears under its name only when it is whole. Raises SearchError naming a
    broken image.
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
    return [found[split] for split in splits]


_ALWAYS: tuple[Split, ...] = ("train", "val")
"""What is decoded whatever is asked for: the data set's identity is of their content."""


def _load(
    source: Source, spec: ImageSpec, home: Path, wanted: Sequence[Split], progress: Progress | None
) -> dict[Split, Images]:
    """The splits in the folder `home`; builds those that are missing or damaged. Raises OSError, SearchError."""
    found, _ = _sound(home, wanted)
    if len(found) < len(wanted):
        shared.make(home)
        with shared.lock(home / "lock"):
            found, damaged = _sound(home, wanted)  # another process may have built it meanwhile
            for split, why in damaged.items():
                tell(f"{home / split}: damaged, and decoded again: {why}")
                shutil.rmtree(home / split)
            missing = [split for split in wanted if split not in found]
            if missing:
                _build(source, spec, home, missing, progress)
        found, damaged = _sound(home, wanted)
        for split, why in damaged.items():
            raise OSError(f"{split}: damaged as soon as it was written: {why}")
    contents = [found[split].record["content"] for split in _ALWAYS]
    return {split: _images(home / split, whole, contents) for split, whole in found.items()}


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
    identity = Identity.of(record["classes"], record["images"], record["listing"], contents)
    return Images(whole.pixels, whole.labels, identity.classes, tuple(record["names"]), key, identity)


def _build(source: Source, spec: ImageSpec, home: Path, splits: Sequence[Split], progress: Progress | None) -> None:
    """Decode `splits` into folders of their own, which take their names at the very end."""
    for stale in home.glob("*.part"):
        shutil.rmtree(stale)
    classes, listed = source.splits()
    whole = {"images": {split: len(items) for split, items in listed.items()}, "listing": listing_of(listed)}
    parts = {split: home / f"{split}.part" for split in splits}
    try:
        contents = _decode(source, spec, {split: listed[split] for split in splits}, parts, progress)
        for split, part in parts.items():
            names, labels = [item.name for item in listed[split]], [item.label for item in listed[split]]
            np.save(part / "labels.npy", np.array(labels, dtype=np.int64))
            about = {name: describe(np.load(part / f"{name}.npy", mmap_mode="r")) for name in ("pixels", "labels")}
            record = {"classes": classes, "names": names, "content": contents[split]}
            write_record(part / _INDEX, record | whole | about)
            shared.share_all(part)
            part.rename(home / split)
    finally:
        for part in parts.values():
            shutil.rmtree(part, ignore_errors=True)


def _decode(
    source: Source,
    spec: ImageSpec,
    items: dict[Split, list[Item]],
    parts: dict[Split, Path],
    progress: Progress | None,
) -> dict[Split, str]:
    """Decode the images of the splits into their folders; of each split what `content_of` says."""
    where = {item.name: (split, row) for split, some in items.items() for row, item in enumerate(some)}
    arrays: dict[Split, np.memmap[tuple[int, ...], np.dtype[np.uint8]]] = {}
    digests = {split: [b""] * len(some) for split, some in items.items()}

    def work(name: str, data: Content) -> tuple[str, NDArray[np.uint8], bytes]:
        try:
            data = data.read_bytes() if isinstance(data, Path) else data
            return name, pixels_of(decode(data), spec), _digest(data)
        except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError and more for broken files
            raise SearchError(f"{source.locate(name)}: the image cannot be read: {error}") from None

    found = source.read(set(where))
    done = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow lets go of the GIL while it decodes and resizes
        while batch := list(islice(found, 256)):
            for name, pixels, digest in pool.map(work, *zip(*batch, strict=True)):
                split, row = where.pop(name)
                if split not in arrays:
                    parts[split].mkdir()
                    shape = (len(items[split]), *pixels.shape)
                    arrays[split] = np.lib.format.open_memmap(parts[split] / "pixels.npy", "w+", np.uint8, shape)
                arrays[split][row], digests[split][row] = pixels, digest
                done += 1
            if progress:
                progress(done, done + len(where))
    if where:
        raise SearchError(f"{source.locate(next(iter(where)))}: no such image in the source, but the split lists it")
    for array in arrays.values():
        array.flush()
    return {split: content_of(found) for split, found in digests.items()}


def _digest(data: Content) -> bytes:
    """SHA-256 of a file, or of the pixels of a picture that comes without one."""
    if isinstance(data, Image.Image):
        return hashlib.sha256(f"{data.mode} {data.size} ".encode() + data.tobytes()).digest()
    return hashlib.sha256(data if isinstance(data, bytes) else b"").digest()


_NARROWEST = 100


def _eight_bits(image: Image.Image) -> Image.Image:
    """The picture with 8 bits a channel, which Pillow's `convert` would cut off where there are 16.

    Raises ValueError for numbers whose black and white nobody can know.
    """
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError(f"pixels from {values.min()} to {values.max()}; an image has 8 or 16 bits a channel")
        return Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("pixels that are fractions; save it with 8 or 16 bits a channel")
    return image.convert("RGBA") if "transparency" in image.info and image.mode == "P" else image


def pixels_of(image: Image.Image, spec: ImageSpec) -> NDArray[np.uint8]:
    """A decoded picture as the cache keeps it: (H, W, C). Raises ValueError for one that is none to look at."""
    image = _eight_bits(image).convert(spec.channels)
    if max(image.size) > _NARROWEST * min(image.size):  # resized by its short side, it would take gigabytes
        raise ValueError(f"{image.width} x {image.height} px; one side is more than {_NARROWEST} times the other")
    return frame(image, spec)
