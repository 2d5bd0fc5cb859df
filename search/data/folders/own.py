"""A data set of one's own code: a function in a file, ``path/to/file.py:function``."""

from __future__ import annotations

import hashlib
import inspect
import os
import runpy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from search.data.base import Content, Item, Photographs, Said, Split, fingerprint_of
from search.data.folders.imagefolder import drawn, drawn_parts
from search.data.folders.layout import KNOWN, Layout, check_classes, class_name
from search.data.folders.listing import File
from search.errors import SearchError, first_line, nearest, visible
from search.format import plural

SHAPE = "it returns pairs (picture, label), triples (picture, label, split), or a dict of split to pairs"


@dataclass
class OwnData(Photographs):
    """What a function in a user's file returns, called with the data root, or with nothing if it takes nothing.

    Pairs (picture, label), from which validation and test are drawn as from class folders; triples (picture, label,
    split); or a dict of split to pairs. A picture is a path, from the data root or absolute, a picture of Pillow, an
    array (H, W) or (H, W, C) of uint8, or a function without arguments that returns one of these when it is needed.
    Each process that trains calls the function once. Raises SearchError if it fails or returns something else.
    """

    spelled: str
    root: Path
    native: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        self._file, _, self._name = self.spelled.rpartition(":")
        if not Path(self._file).is_file():
            raise SearchError(f"dataset={self.spelled!r}: no file {self._file}; write it as path/to/file.py:function")

    @cached_property
    def _function(self) -> Callable[..., Any]:
        try:
            found = runpy.run_path(self._file)
        except (Exception, SystemExit) as error:  # the user's own code
            raise SearchError(f"{self._file}: {type(error).__name__}: {first_line(error)}") from None
        if not callable(found.get(self._name)):
            known = {key for key, value in found.items() if callable(value) and not key.startswith("_")}
            raise SearchError(f"{self._file}: no function {self._name!r}{nearest(self._name, known)}")
        function: Callable[..., Any] = found[self._name]
        return function

    @cached_property
    def _made(self) -> tuple[Layout, dict[str, Any]]:
        """The layout, and of each image's name what the function returned for it."""
        function = self._function
        layout, pictures, known, labels = Layout(), dict[str, Any](), set[File](), dict[str, str]()
        try:
            arguments = [self.root] if inspect.signature(function).parameters else []
            for place, (picture, label, split) in enumerate(_rows(function(*arguments), self.spelled)):
                path = self.root / picture if isinstance(picture, (str, Path)) else None
                name = str(picture) if path is not None else f"{split or 'image'}/{place}"
                real = os.path.realpath(path) if path is not None else f"{self.spelled}/{place}"
                file = File(name, real, _label(label, name, self.spelled), split)
                if file in known:
                    layout.left_out["pictures that are returned twice"] += 1
                    continue
                if name in pictures and (other := labels[name]) != file.label:
                    said = f"{visible(name)} is {other} and {file.label}; a picture has one class"
                    raise SearchError(f"{self.spelled}: {said}")
                known.add(file)
                labels[name], pictures[name] = file.label, path if path is not None else picture
                layout.files.append(file)
        except SearchError:
            raise
        except (Exception, SystemExit) as error:  # the user's own code
            raise SearchError(f"{self.spelled}: {type(error).__name__}: {first_line(error)}") from None
        layout.numeric = all(file.label.isascii() and file.label.isdigit() for file in layout.files)
        if layout.splits and any(not file.split for file in layout.files):
            raise SearchError(f"{self.spelled}: some pictures have a split and some have none; {SHAPE}")
        if layout.splits and "train" not in layout.splits:
            raise SearchError(f"{self.spelled}: no picture is in the split train; {SHAPE}")
        if len(layout.classes) < 2:
            said = (
                f"{plural(len(layout.files), 'picture')} of {len(layout.classes) or 'no'} class, where two are needed"
            )
            raise SearchError(f"{self.spelled}: {said}; {SHAPE}")
        check_classes(layout, self.spelled)
        return layout, pictures

    @property
    def layout(self) -> Layout:
        return self._made[0]

    def files(self) -> list[File]:
        """The file with the code, and the paths that it returned."""
        layout, pictures = self._made
        own = [file for file in layout.files if isinstance(pictures[file.name], Path)]
        return [File(Path(self._file).name, os.path.realpath(self._file)), *own]

    def fingerprint(self) -> str:
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        """Of the code, the files that it returned, the labels, and the pixels that it returned."""
        layout, pictures = self._made
        digest = hashlib.sha256(os.fsencode(f"{Path(self._file).read_bytes()!r} {layout.files}"))
        digest.update(fingerprint_of(Path(self._file), self.files()).encode())
        for picture in pictures.values():
            if not isinstance(picture, Path) and not callable(picture):
                digest.update(np.ascontiguousarray(picture).tobytes())
        return digest.hexdigest()

    def splits(self) -> tuple[list[str], dict[Split, list[Item]]]:
        return drawn(self.layout, self.spelled)

    def read(self, names: set[str]) -> Iterator[tuple[str, Content]]:
        for file in self.layout.files:
            if file.name in names:
                yield file.name, self._picture(file.name)

    def _picture(self, name: str) -> Content:
        """What the function returned, or why it is no picture."""
        picture = self._made[1][name]
        try:
            picture = picture() if callable(picture) else picture
            if isinstance(picture, str):
                return self.root / picture
            if isinstance(picture, (bytes, Path, Image.Image)):
                return picture
            array = np.asarray(picture)
            if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (1,), (3,), (4,)):
                needed = "(H, W) or (H, W, C) of uint8 is needed, with 1, 3 or 4 channels"
                return ValueError(f"an array {array.shape} of {array.dtype}; {needed}")
            return Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)
        except (Exception, SystemExit) as error:  # the user's own code
            return ValueError(f"{type(error).__name__}: {first_line(error)}")

    def said(self) -> Said:
        return Said(self.layout.left_out, [*self.layout.notes, *drawn_parts(self.layout)])

    def locate(self, name: str) -> str:
        picture = self._made[1].get(name)
        return str(picture) if isinstance(picture, Path) else f"{self.spelled}: {name}".removesuffix(": ")


def _rows(returned: Any, spelled: str) -> Iterator[tuple[Any, Any, str]]:
    """Picture, label and split, or no split, of all that a function returned. Raises SearchError."""
    if isinstance(returned, Mapping):
        for name, pairs in returned.items():
            split = _split(name, spelled)
            for picture, label in _pairs(pairs, spelled, 2):
                yield picture, label, split
        return
    for row in _pairs(returned, spelled, 3):
        yield row[0], row[1], _split(row[2], spelled) if len(row) == 3 else ""


def _pairs(rows: Any, spelled: str, most: int) -> Iterator[tuple[Any, ...]]:
    if not isinstance(rows, Iterable) and not hasattr(rows, "__getitem__"):
        raise SearchError(f"{spelled} returned a {type(rows).__name__}; {SHAPE}")
    for row in rows:
        if not isinstance(row, (tuple, list)) or not 2 <= len(row) <= most:
            raise SearchError(f"{spelled} returned {visible(repr(row)[:80])} among the pairs; {SHAPE}")
        yield tuple(row)


def _label(label: Any, name: str, spelled: str) -> str:
    """A label as the name of a class. Raises SearchError for what is neither a text nor a number, or says nothing."""
    label = label.item() if hasattr(label, "item") and getattr(label, "ndim", 0) == 0 else label  # NumPy's, torch's
    text = class_name(str(label))
    if not isinstance(label, (str, int, float)) or not text.strip() or label != label:
        what = f"the label {visible(repr(label)[:80])}"
        raise SearchError(f"{spelled}: {what} of {visible(name)} names no class; give it a text or a number")
    return text


def _split(split: Any, spelled: str) -> str:
    if str(split).lower() not in KNOWN:
        raise SearchError(f"{spelled} returned the split {split!r}; it is train, val or test")
    return KNOWN[str(split).lower()]
