"""The pictures of a data set into arrays: in parallel, with every file that cannot be read named at once."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from search.data.base import Content, Item, Source, Split
from search.data.folders.layout import some
from search.data.frames import frame
from search.data.identity import content_of
from search.data.reading.pictures import is_flat, read_picture, warnings_counted
from search.data.reading.skipping import skips_broken
from search.errors import SearchError, switch, visible
from search.format import plural

if TYPE_CHECKING:
    from search.models.images import ImageSpec

LIST = "unreadable.txt"
"""Beside the arrays: a line for each file that cannot be read, its path, a tab and the reason."""

Progress = Callable[[int, int], None]
"""Called with how many images are done, of how many."""
_TOGETHER = 16
"""Images that a thread takes at a time: to hand over one alone takes as long as to decode a small one."""


class Decoded(NamedTuple):
    """A split whose array is written: what is in it, and what is not.

    `broken`: name and reason of each image that cannot be read. `remarks`: how many images were treated, or look, how.
    """

    items: list[Item]
    content: str
    broken: list[tuple[str, str]]
    remarks: dict[str, int]


def pixels_of(image: Image.Image, spec: ImageSpec) -> NDArray[np.uint8]:
    """An upright picture of 8 bits a channel as the cache keeps it: (H, W, C)."""
    return frame(image if image.mode == spec.channels else image.convert(spec.channels), spec)


class Closed(NamedTuple):
    """The files of the test split, which are read and looked at whether they can be, while their pixels are dropped.

    `content`: what `content_of` says of them; `broken`: name and reason of each that cannot be read.
    """

    content: str = ""
    broken: Sequence[tuple[str, str]] = ()


class _Done(NamedTuple):
    """One image: the digest of its file, and its pixels (H, W, C), or why it cannot be read."""

    name: str
    digest: bytes = b""
    """Empty: there is no content."""
    pixels: NDArray[np.uint8] | None = None
    remarks: tuple[str, ...] = ()
    reason: str = ""


def decode(
    source: Source,
    spec: ImageSpec,
    items: dict[Split, list[Item]],
    home: Path,
    progress: Progress | None,
    sealed: Sequence[Item] = (),
) -> tuple[dict[Split, Decoded], Closed]:
    """Write the images of each split to ``pixels.npy`` in `part_of` the folder `home`: (N, H, W, C), uint8.

    Returns what was decoded, and what is known of the `sealed` images, of which nothing is written. Raises SearchError
    that names the unreadable images and the file which lists them all, unless `skips_broken`; and then for a class of
    the training split of which nothing is left.
    """
    splits = {split: _Split(some_, part_of(home, split)) for split, some_ in items.items()}
    where: dict[str, list[tuple[Split, int]]] = {}
    for split, some_ in items.items():
        for row, item in enumerate(some_):
            where.setdefault(item.name, []).append((split, row))
    absent, total = "no such image, but the split lists it", len(where)
    closed = {item.name: (b"", absent) for item in sealed}
    with warnings_counted() as warned:
        for image in _images(source, spec, {*where, *closed}, frozenset(where)):
            if image.name in closed:
                closed[image.name] = image.digest, image.reason
            for split, row in where.pop(image.name, ()):
                splits[split].take(row, image)
                if progress and ((done := total - len(where)) % 256 == 0 or done == total):
                    progress(done, total)
    for name, places in where.items():
        for split, row in places:
            splits[split].take(row, _Done(name, reason=absent))
    unread = [(name, reason) for name, (_, reason) in closed.items() if reason]
    _refuse(source, [*(found for split in splits.values() for found in split.broken.values()), *unread], home)
    for first in [*splits.values()][:1]:
        first.remarks.update(f"with a warning of Pillow ({text})" for text in warned.elements())
    kept = Closed(content_of(closed[item.name][0] for item in sealed), unread)
    return {split: found.finished(source) for split, found in splits.items()}, kept


def _refuse(source: Source, broken: list[tuple[str, str]], home: Path) -> None:
    """List the broken images in a file in `home`. Raises SearchError with it, unless `skips_broken`."""
    if broken:
        broken = [*dict.fromkeys(broken)]
        listed = write_list(source, broken, home)
        if not skips_broken():
            raise unreadable(source, broken, listed)


def part_of(home: Path, split: Split) -> Path:
    """The folder in `home` in which a split lies until it is whole."""
    return home / f"{split}.part"


def write_list(source: Source, broken: Sequence[tuple[str, str]], folder: Path) -> Path:
    """Write which images cannot be read, and why, to a file in `folder`; returns it."""
    lines = sorted(f"{visible(source.locate(name))}\t{visible(reason)}\n" for name, reason in broken)
    path = folder / LIST
    path.write_text("".join(lines), encoding="utf-8")
    return path


def unreadable(source: Source, broken: Sequence[tuple[str, str]], listed: Path) -> SearchError:
    """The refusal of a data set with unreadable images, which `listed` lists."""
    name, reason = broken[0]
    more = f"; {len(broken) - 1:,} more cannot be read" if len(broken) > 1 else ""
    return SearchError(
        f"{visible(source.locate(name))}: the image cannot be read: {reason}{more} (list: {listed}); "
        f"mend or remove what is listed, or leave it out with {switch('skip_broken')}"
    )


def _images(source: Source, spec: ImageSpec, names: set[str], decoded: Container[str]) -> Iterator[_Done]:
    """The named images in the source's order, read by as many threads as there are cores; pixels of those `decoded`."""

    def work(images: Sequence[tuple[str, Content]]) -> list[_Done]:
        return [_read(name, data, spec if name in decoded else None) for name, data in images]

    found, cores = source.read(names), len(os.sched_getaffinity(0))
    ahead: deque[Future[list[_Done]]] = deque()
    with ThreadPoolExecutor(cores) as pool:  # Pillow lets go of the GIL while it decodes and resizes
        while True:
            while len(ahead) < 4 * cores and (images := list(islice(found, _TOGETHER))):
                ahead.append(pool.submit(work, images))
            if not ahead:
                return
            yield from ahead.popleft().result()


def _read(name: str, data: Content, spec: ImageSpec | None) -> _Done:
    """One image, with pixels as `spec` says; None: its digest, and whether it can be read."""
    digest = b""
    try:
        if isinstance(data, Path):
            data = data.read_bytes()
        digest = _digest(data)
        image, remarks = read_picture(data)
        if spec is None:
            return _Done(name, digest)
        pixels = pixels_of(image, spec)
        return _Done(name, digest, pixels, (*remarks, "nearly of one colour") if is_flat(pixels) else remarks)
    except FileNotFoundError:
        return _Done(name, reason="no such file")
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError and more for broken files
        return _Done(name, digest, reason=str(error) or type(error).__name__)


def _digest(data: Content) -> bytes:
    """SHA-256 of a file, or of the pixels of a picture that comes without one. Raises what there is instead of it."""
    if isinstance(data, Exception):
        raise data
    if isinstance(data, Image.Image):
        return hashlib.sha256(f"{data.mode} {data.size} ".encode() + data.tobytes()).digest()
    assert isinstance(data, bytes)
    return hashlib.sha256(data).digest()


class _Split:
    """The array of one split while it is made."""

    def __init__(self, items: list[Item], folder: Path) -> None:
        self._items, self._folder = items, folder
        self._digests = [b""] * len(items)
        self._array: np.memmap[tuple[int, ...], np.dtype[np.uint8]] | None = None
        self._rows = np.empty(0, np.uint8)
        """The same memory as a plain array, into which a row is written in half the time."""
        self.broken: dict[int, tuple[str, str]] = {}
        self.remarks: Counter[str] = Counter()

    def take(self, row: int, image: _Done) -> None:
        if image.pixels is None:
            self.broken[row] = (image.name, image.reason)
            return
        if self._array is None:
            self._folder.mkdir()
            shape = (len(self._items), *image.pixels.shape)
            self._array = np.lib.format.open_memmap(self._folder / "pixels.npy", "w+", np.uint8, shape)
            self._rows = np.asarray(self._array)
        self._rows[row], self._digests[row] = image.pixels, image.digest
        if image.remarks:
            self.remarks.update(image.remarks)

    def finished(self, source: Source) -> Decoded:
        """Close the array, without the rows that could not be read. Raises SearchError if a class has none left."""
        rows = [row for row in range(len(self._items)) if row not in self.broken]
        if self._array is None:
            raise SearchError(
                f"{visible(source.locate(''))}: none of {plural(len(self._items), 'image')} of a split can be read"
            )
        self._array.flush()
        kept = [self._items[row] for row in rows]
        lost = {item.label for item in self._items} - {item.label for item in kept}
        if lost:
            names, _ = source.splits()
            which = some(names[label] for label in sorted(lost))
            raise SearchError(f"{visible(source.locate(''))}: no image of a split's class can be read: {which}")
        if self.broken:
            path = self._folder / "whole.npy"
            (self._folder / "pixels.npy").rename(path)
            shape = (len(rows), *self._array.shape[1:])
            small = np.lib.format.open_memmap(self._folder / "pixels.npy", "w+", np.uint8, shape)
            for start in range(0, len(rows), 1024):
                small[start : start + 1024] = self._array[rows[start : start + 1024]]
            small.flush()
            path.unlink()
        content = content_of(self._digests[row] for row in rows)
        return Decoded(kept, content, list(self.broken.values()), dict(self.remarks))
