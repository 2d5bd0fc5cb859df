"""A data set: the protocol that each implements, and what they share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Literal, NamedTuple, Protocol

from PIL import Image

from search.data.folders.listing import File
from search.errors import SearchError
from search.files.mounts import network_type

Split = Literal["train", "val", "test"]
Content = bytes | Path | Exception | Image.Image
"""What a source has of an image: its file's bytes, the file, the picture itself, or why it cannot be had."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Of ImageNet's training images, RGB, in [0, 1], as torchvision's weights have them."""
IMAGENET_STD = (0.229, 0.224, 0.225)


class NoTestSplit(SearchError):
    """The data set has training and validation images, and no others."""


class Said(NamedTuple):
    """What a user should know of how a data set was found.

    `left_out`: how many files were not read, by ending or reason; `notes`: lines on what is doubtful or was decided.
    """

    left_out: Mapping[str, int] = MappingProxyType({})
    notes: Sequence[str] = ()


class Item(NamedTuple):
    """One image: its name in the source, and its class's index."""

    name: str
    label: int


class Source(Protocol):
    """Where a data set's images come from. Opening one is cheap and fails if the data are not there."""

    mode: ClassVar[str]
    """Pillow's name for the channels of such an image: L or RGB."""
    mean: ClassVar[tuple[float, ...]]
    std: ClassVar[tuple[float, ...]]

    def files(self) -> list[File]:
        """The files that images and splits come from; what a fingerprint is of. Empty: they come with a package."""

    @property
    def native(self) -> int | None:
        """Pixels of the square that models without a size of their own see; None: as the pictures are."""

    def fingerprint(self) -> str:
        """Changes when the images or the splits do."""

    def splits(self) -> tuple[list[str], dict[Split, list[Item]]]:
        """The class names, in the order of their index, and the items of each split."""

    def read(self, names: set[str]) -> Iterator[tuple[str, Content]]:
        """The named images, in the source's order."""

    def said(self) -> Said:
        """What was left out, and what was decided, when the images were listed."""

    def locate(self, name: str) -> str:
        """The path or expression by which a person finds the named image."""


class Photographs:
    """What data sets of colour photographs share; a source says what differs."""

    native: ClassVar[int | None] = 64
    mode: ClassVar[str] = "RGB"
    mean: ClassVar[tuple[float, ...]] = IMAGENET_MEAN
    std: ClassVar[tuple[float, ...]] = IMAGENET_STD

    def said(self) -> Said:
        return Said()


def stratified(labels: list[int], part: float | int, seed: int = 0) -> tuple[list[int], list[int]]:
    """Split indices in two, `part` of them in the second, class by class in proportion."""
    from sklearn.model_selection import train_test_split  # late: it takes seconds to import

    first, second = train_test_split(range(len(labels)), test_size=part, stratify=labels, random_state=seed)
    return sorted(first), sorted(second)


def divided(items: list[Item], part: float, home: Path | str) -> tuple[list[Item], list[Item]]:
    """`items` in two, `part` of them in the second, class by class, with a fixed seed; raises SearchError."""
    try:
        first, second = stratified([item.label for item in items], part)
    except ValueError as error:
        raise SearchError(f"{home}: too few images to split by class: {error}") from None
    return [items[i] for i in first], [items[i] for i in second]


_SAMPLE, _GLIMPSED = 100, 32
"""Files whose size and time are read where each read is a round trip to another machine; and whose content is."""
_GLIMPSE = 2**14
"""Bytes of a file's content that are read at its start, in its middle and at its end."""


def fingerprint_of(home: Path, files: Sequence[File]) -> str:
    """Changes when the data set at `home` lies elsewhere, or one of its `files` changes.

    What counts is all that a File says, its size in bytes, the time of its last change and, of _GLIMPSED files, evenly
    spaced, some of their content. On a network file system, size and time are asked of at most _SAMPLE of the files;
    their names, which come from listing the folders, all count. Raises SearchError if there are no files.
    """
    if not files:
        raise SearchError(f"{home}: there are no images in it")
    digest = hashlib.sha256(os.fsencode(os.path.realpath(home)))
    every = -(-len(files) // _SAMPLE) if network_type(home) else 1
    for i, file in enumerate(files):
        digest.update(os.fsencode(f"{tuple(file)!r}\n"))
        try:
            if i % every == 0:
                seen = os.stat(file.real)  # noqa: PTH116 # a Path takes twice as long, and there may be a million
                digest.update(f"{seen.st_size} {seen.st_mtime_ns}\n".encode())
            if i % -(-len(files) // _GLIMPSED) == 0:
                digest.update(_glimpse(file.real))
        except OSError as error:  # whoever reads it says so
            digest.update(type(error).__name__.encode())
    return digest.hexdigest()


def _glimpse(path: str) -> bytes:
    """Some of a file's content."""
    with Path(path).open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        found = []
        for start in sorted({0, max(end // 2, 0), max(end - _GLIMPSE, 0)}):
            file.seek(start)
            found.append(file.read(_GLIMPSE))
    return b"".join(found)


def files_below(folder: Path, paths: Iterable[Path]) -> list[File]:
    """The `paths` below `folder` as files, in order of their names."""
    return sorted(File(path.relative_to(folder).as_posix(), os.path.realpath(path)) for path in paths)


def read_files(home: Path, names: set[str], named_by: str) -> Iterator[tuple[str, bytes]]:
    """The files called `names` under `home`, in order of name; raises SearchError for one that is not there.

    `named_by`: what says that it should be.
    """
    for name in sorted(names):
        path = home / name
        try:
            data = path.read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            raise SearchError(f"{path}: no such image; {named_by}") from None
        yield name, data
