"""The files of a data set: what is listed is what is read, counted and fingerprinted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from PIL import Image, features

from search.errors import SearchError

_LITTER = {".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", ".localized", ".directory", "icon\r"}
"""What systems leave in folders, in lower case; none of it is a picture, so that it is not even counted."""
_HIDDEN = {"@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
"""Folders that a system hides though no dot begins their names, in lower case: thumbnails and deleted pictures."""
_NO_DECODER = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
"""Formats that Pillow recognises and does not decode itself; EPS would start Ghostscript."""
_NEEDS = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp"}
"""Formats that Pillow reads only if it was built with a library."""


class File(NamedTuple):
    """A file that images come from."""

    name: str
    """Its path from the data set's root, with ``/`` between."""
    real: str
    """Where it lies on the disk, links followed."""
    label: str = ""
    """The class of its picture; none of a table, an archive or a publisher's file."""
    split: str = ""
    """train, val or test, where the data set's own layout says it; not where a split is drawn."""


@dataclass
class Listing:
    """The files below a folder, or in an archive."""

    files: list[File] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    """The folders, by their path from the root, empty ones among them."""
    left_out: Counter[str] = field(default_factory=Counter)
    """What is no plain, visible file: how many of what."""


@cache
def formats() -> tuple[str, ...]:
    """The formats that the installed Pillow decodes, by its names: those of most pictures first, as they are tried."""
    Image.init()
    known = (name for name in Image.OPEN if name not in _NO_DECODER and features.check(_NEEDS.get(name, "pil")))
    return tuple(sorted(known, key=lambda name: name not in ("JPEG", "PNG")))


@cache
def endings() -> frozenset[str]:
    """The endings of pictures that the installed Pillow decodes, in lower case, with their dot."""
    known = {*formats(), "MPO"}  # which the JPEG decoder opens
    return frozenset(ending for ending, name in Image.registered_extensions().items() if name in known)


def ending(name: str) -> str:
    """The ending of a file's name, in lower case, with its dot; nothing if it has none."""
    return PurePosixPath(name).suffix.lower()


def is_picture(name: str) -> bool:
    """Whether a file of that name is read as a picture."""
    return ending(name) in endings()


def is_litter(part: str) -> bool:
    """Whether a system leaves files or folders of that name behind."""
    return part.lower() in _LITTER or part.startswith("._")


def is_hidden(part: str) -> bool:
    """Whether a file or folder of that name is hidden: by its dot, as ``.ipynb_checkpoints``, or by its system."""
    return part.startswith(".") or part.lower() in _HIDDEN


def list_folder(root: Path) -> Listing:
    """The files below `root` at any depth, in order of their names, links followed.

    Hidden files, links that lead nowhere or back to a folder above, and what is no file are counted. No file is asked
    for its size: on a network file system each answer is a round trip. Raises SearchError for an unreadable folder.
    """
    found = Listing()
    try:
        real = os.path.realpath(root)
        found.files.extend(_below(root, real, "", (real,), found))
    except OSError as error:
        raise SearchError(f"{error.filename}: the folder cannot be read: {error.strerror}") from None
    found.files.sort()
    return found


def _below(folder: Path | str, real: str, inside: str, above: tuple[str, ...], found: Listing) -> Iterator[File]:
    """The files below one folder, which lies at `real`; `inside`: its path from the root, with a ``/`` at its end."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = inside + entry.name
            if is_litter(entry.name):
                continue
            if is_hidden(entry.name):
                found.left_out["hidden"] += 1
                continue
            link = entry.is_symlink()
            there = os.path.realpath(entry.path) if link else f"{real}/{entry.name}"
            if entry.is_dir():
                if there in above:
                    found.left_out["link to a folder above"] += 1
                    continue
                found.folders.add(name)
                yield from _below(entry.path, there, f"{name}/", (*above, there), found)
            elif entry.is_file():
                yield File(name, there)
            else:
                found.left_out["link that leads nowhere" if link else "neither file nor folder"] += 1
