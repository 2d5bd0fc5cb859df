"""Where the pictures of a table lie: in the table's folder, below it, or in a folder beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from search.data.folders.listing import Listing, is_hidden, is_litter, is_picture

_MOST = 300
"""Folders beside the data set's own in which pictures are looked for."""


class Finder:
    """Files by the paths of a table, from the root of a listing or absolute.

    `home`: the folder that is listed, out of which a path may lead; None: an archive, out of which none leads. A path
    may lack its ending if a single picture has its name.
    """

    def __init__(self, listing: Listing, home: Path | None) -> None:
        self._home = home
        self._known = {file.name: file.real for file in listing.files}
        self._stems = _by_stem(self._known)
        self._outside: dict[str, dict[str, list[str]]] = {}
        self.below = sorted(folder for folder in listing.folders if folder.count("/") < 2)
        """The folders of the listing, two deep."""

    def find(self, path: str) -> tuple[str, str] | None:
        """The name of the file at `path`, and where it lies on the disk; None: there is none."""
        if path not in self._known and len(self._stems.get(path, ())) == 1:
            path = self._stems[path][0]
        if (real := self._known.get(path)) is not None:
            return path, real
        if self._home is None or not path.startswith(("/", "../")):
            return None
        if not os.path.isfile(self._home / path):  # noqa: PTH113 # Path.is_file raises where one may not look
            folder, _, stem = path.rpartition("/")
            named = self._pictures(folder or "/").get(stem, ())
            if len(named) != 1:
                return None
            path = f"{folder}/{named[0]}"
        return path, os.path.realpath(self._home / path)

    def _pictures(self, folder: str) -> dict[str, list[str]]:
        """The pictures in a folder outside, by their names without an ending."""
        assert self._home is not None
        if folder not in self._outside:
            with suppress(OSError), os.scandir(self._home / folder) as entries:
                self._outside[folder] = _by_stem(entry.name for entry in entries)
        return self._outside.get(folder, {})

    @cached_property
    def beside(self) -> list[str]:
        """The folder above the root, and those beside it, two deep.

        None of an archive, of a folder that has pictures itself, or directly below the root of the file system.
        """
        above = None if self._home is None else Path(os.path.realpath(self._home)).parent
        if self._home is None or above is None or above == above.parent or self._stems:
            return []
        own = os.path.realpath(self._home)
        near = [entry for entry in _folders(str(above)) if os.path.realpath(entry.path) != own]
        deep = [f"../{entry.name}/{below.name}" for entry in near for below in _folders(entry.path)]
        return ["..", *(f"../{entry.name}" for entry in near), *deep][:_MOST]

    def unnamed(self, reals: set[str]) -> int:
        """How many pictures lie in the listing, or in a folder outside with some of `reals`, and are none of them."""
        count = sum(real not in reals and is_picture(name) for name, real in self._known.items())
        if self._home is None:
            return count
        listed = {os.path.dirname(real) for real in self._known.values()}  # noqa: PTH120 # there may be a million
        for folder in {os.path.dirname(real) for real in reals} - listed:  # noqa: PTH120 # as above
            with suppress(OSError), os.scandir(folder) as entries:
                count += sum(is_picture(entry.name) and entry.path not in reals for entry in entries)
        return count


def _by_stem(names: Iterator[str] | dict[str, str]) -> dict[str, list[str]]:
    """The names of pictures by what they are without their ending."""
    stems: dict[str, list[str]] = {}
    for name in names:
        if is_picture(name):
            stems.setdefault(name.rpartition(".")[0], []).append(name)
    return stems


def _folders(folder: str) -> list[os.DirEntry[str]]:
    """The visible folders in a folder, by name; none of one that cannot be read."""
    with suppress(OSError), os.scandir(folder) as entries:
        seen = (entry for entry in entries if not is_hidden(entry.name) and not is_litter(entry.name))
        return sorted((entry for entry in seen if entry.is_dir()), key=lambda entry: entry.name)
    return []
