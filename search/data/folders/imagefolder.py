"""A user's own pictures as a data set: class folders, split folders, a table, or an archive of these."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from search.data.base import Content, Item, Photographs, Said, Split, divided, fingerprint_of
from search.data.folders import archive, layout, table
from search.data.folders.archive import Archive
from search.data.folders.finding import Finder
from search.data.folders.layout import LAYOUTS, Layout
from search.data.folders.listing import File, Listing, is_picture, list_folder
from search.errors import SearchError, nearest, visible


@dataclass(frozen=True)
class Folder:
    """The folder at `home`. Names of files are their paths from there, or absolute."""

    home: Path

    def listing(self) -> Listing:
        return list_folder(self.home)

    def read(self, names: set[str]) -> Iterator[tuple[str, Path]]:
        """The named files, in order of name, to be opened by who decodes them."""
        return ((name, self.home / name) for name in sorted(names))

    def locate(self, name: str) -> str:
        return str(self.home / name)


@dataclass
class ImageFolder(Photographs):
    """A user's own pictures at `home`: a folder, an archive or a table.

    Class folders alone are split 60:20:20. With train and test, a fifth of train is for validation. With train and val
    there is no test split. What is drawn is drawn class by class with a fixed seed. Raises SearchError where nothing
    is at `home`, or where what lies there cannot be told into classes.
    """

    home: Path
    native: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        self._table: str | None = None
        if self.home.is_dir():
            self._tree: Folder | Archive = Folder(self.home)
        elif not self.home.is_file():
            near = _beside(self.home)
            what = near if "did you mean" in near else f"{near}; {LAYOUTS}"
            raise SearchError(f"imagefolder: no folder or file {visible(str(self.home))}{what}")
        elif archive.is_archive(self.home):
            self._tree = Archive(self.home)
        elif self.home.name.lower().endswith(table.ENDINGS):
            self._tree, self._table = Folder(self.home.parent), self.home.name
        else:
            raise SearchError(
                f"imagefolder: {visible(str(self.home))} is neither a folder, nor an archive "
                f"({', '.join(archive.ENDINGS)}), nor a table ({', '.join(table.ENDINGS)})"
            )

    @cached_property
    def layout(self) -> Layout:
        """The pictures with their classes and splits, listed once."""
        listing = self._tree.listing()
        if self._table is not None:
            return self._tabled(self._table, listing)
        tables = [file.name for file in listing.files if file.name.count("/") < 2 and self._is_table(file.name)]
        answers = [name for name in tables if "submission" in name.lower()]
        tables = [name for name in tables if name not in answers]
        try:
            found = layout.arrange(listing, visible(str(self.home)))
        except SearchError as error:
            packed = [file.name for file in listing.files if archive.is_archive(Path(file.name))]
            if packed and not any(is_picture(file.name) for file in listing.files):
                remedy = f"imagefolder:{visible(str(self.home))}/{visible(packed[0])} reads the archive in it"
                raise SearchError(f"{error}; {remedy}") from None
            if not tables:
                raise
            if len(tables) > 1:
                raise self._several(error, tables) from None
            found = self._tabled(tables[0], listing)
            found.notes.insert(0, f"the classes are those of the table {tables[0]}")
            others = [file.name for file in listing.files if file.name.lower().endswith(table.ENDINGS)]
            if unread := [name for name in others if name not in (*tables, *answers)]:
                found.notes.append(f"{layout.some(unread)}: not read, for it has no columns of paths and labels")
        else:
            for name in tables:
                self._compare(name, listing, found)
        if answers:
            found.notes.append(f"{layout.some(answers)}: not read, for a table of that name holds no true labels")
        return found

    def _several(self, error: SearchError, tables: list[str]) -> SearchError:
        """The refusal of a folder with several tables, whose pictures lie in no class folders."""
        meant = next((name for name in tables if "train" in name.lower()), tables[0])
        remedy = (
            f"write the one that is meant: imagefolder:{self.home}/{meant}; or join them in one with a column split"
        )
        return SearchError(f"{error}; it has {len(tables)} tables ({layout.some(tables)}): {remedy}")

    def _is_table(self, name: str) -> bool:
        if not name.lower().endswith(table.ENDINGS):
            return False
        return table.is_table(self._content(name), name)

    def _content(self, name: str) -> bytes:
        for _, content in self._tree.read({name}):
            if isinstance(content, Path):
                try:
                    return content.read_bytes()
                except OSError as error:
                    raise SearchError(f"{content}: cannot be read: {error.strerror}") from None
            if isinstance(content, bytes):
                return content
        raise SearchError(f"{self._tree.locate(name)}: cannot be read")

    def _tabled(self, name: str, listing: Listing) -> Layout:
        """The layout that the table at `name` says."""
        finder = Finder(listing, self._tree.home if isinstance(self._tree, Folder) else None)
        where = visible(self._tree.locate(name))
        found = table.arrange(table.read_table(self._content(name), where), name, where, finder)
        if unnamed := finder.unnamed({file.real for file in found.files}):
            found.left_out["pictures that the table does not name"] += unnamed
        known = {file.name: file.real for file in listing.files}
        found.sources.append(File(name, known.get(name, os.path.realpath(self.home))))
        return found

    def _compare(self, name: str, listing: Listing, found: Layout) -> None:
        """Note a table beside class folders. Raises SearchError if it says other classes."""
        try:
            other = self._tabled(name, listing)
        except SearchError:
            found.notes.append(f"the table {name} is not read, for it does not name these pictures")
            return
        if not table.agrees(other, found):
            raise SearchError(
                f"{visible(str(self.home))}: {name} tells other classes than the folders do; "
                f"imagefolder:{visible(str(self.home))}/{name} reads the table; without it, the folders are read"
            )
        found.notes.append(f"the table {name} is not read, for it tells the classes of the folders")

    def files(self) -> list[File]:
        if isinstance(self._tree, Archive):
            return [File(self.home.name, os.path.realpath(self.home))]
        return [*self.layout.sources, *self.layout.files]

    def fingerprint(self) -> str:
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        """As of the listing, and so once for each."""
        return fingerprint_of(self.home, self.files())

    def splits(self) -> tuple[list[str], dict[Split, list[Item]]]:
        return drawn(self.layout, visible(str(self.home)))

    def read(self, names: set[str]) -> Iterator[tuple[str, Content]]:
        return self._tree.read(names)

    def said(self) -> Said:
        return Said(self.layout.left_out, [*self.layout.notes, *drawn_parts(self.layout)])

    def locate(self, name: str) -> str:
        return self._tree.locate(name)


def drawn(layout_: Layout, where: str) -> tuple[list[str], dict[Split, list[Item]]]:
    """The classes and the splits; what the layout does not have is drawn class by class, with a fixed seed.

    Raises SearchError, which begins with `where`, for classes with too few pictures.
    """
    classes = layout_.classes
    index = {label: i for i, label in enumerate(classes)}
    parts: dict[str, list[Item]] = {"train": [], "val": [], "test": [], "": []}
    for file in layout_.files:
        parts[file.split].append(Item(file.name, index[file.label]))
    train, val, test = parts["train"] or parts[""], parts["val"], parts["test"]
    if not val:
        _check_counts(train, classes, 2 if test else 3, where)
        if not test:
            train, test = divided(train, 0.2, where)
        train, val = divided(train, 0.2 if parts["test"] else 0.25, where)
    return classes, {"train": train, "val": val, "test": test}


def drawn_parts(layout_: Layout) -> list[str]:
    """What of the splits is drawn, and how, in a line."""
    if "val" in layout_.splits:
        return []
    how = "drawn class by class with a fixed seed"
    if "test" in layout_.splits:
        return [f"validation is a fifth of the training pictures, {how}"]
    return [f"validation and test are a fifth of the pictures each, {how}"]


def _check_counts(pool: list[Item], classes: list[str], needed: int, where: str) -> None:
    """Raise SearchError for classes with too few pictures to be in each split that is drawn from the `pool`."""
    counts = Counter(item.label for item in pool)
    small = [f"{label} ({counts[i]})" for i, label in enumerate(classes) if counts[i] < needed]
    what = "validation" if needed == 2 else "validation and test"
    remedy = f"add pictures, take the class out, or lay out {what} yourself"
    if small:
        raise SearchError(
            f"{where}: too few images to split by class: {what} are drawn from {needed} or more "
            f"pictures a class, and fewer have {layout.some(small)}; {remedy}"
        )
    if len(pool) < 5 * len(classes):
        raise SearchError(
            f"{where}: too few images to split by class: {len(pool)} pictures of {len(classes)} "
            f"classes, where five a class are needed on average to draw {what}; {remedy}"
        )


def _beside(path: Path) -> str:
    """What else lies where `path` should be, the nearest name or all."""
    try:
        names = {entry.name for entry in path.parent.iterdir() if not entry.name.startswith(".")}
    except OSError:
        return f"; there is no folder {visible(str(path.parent))}"
    return visible(nearest(path.name, names)) if names else ""
