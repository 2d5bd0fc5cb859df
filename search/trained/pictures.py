"""The pictures that somebody names: files, folders, patterns and archives, in order, each once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path

from search.data.base import Content
from search.data.folders.archive import Archive, is_archive
from search.data.folders.layout import counted
from search.data.folders.listing import Listing, ending, is_picture, list_folder
from search.errors import SearchError, visible


@dataclass
class Pictures:
    """What was found: the pictures by their paths, those of an archive below its own, and what was left out."""

    files: dict[str, Path] = field(default_factory=dict)
    """Path as it is shown to the file."""
    archives: list[tuple[Archive, dict[str, str]]] = field(default_factory=list)
    """An archive, and the name in it to the path as it is shown."""
    left_out: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.files) + sum(len(names) for _, names in self.archives)

    def read(self) -> Iterator[tuple[str, Content]]:
        """Each picture's path and content. Raises SearchError for an archive that cannot be read."""
        yield from self.files.items()
        for archive, names in self.archives:
            for name, data in archive.read(set(names)):
                yield names[name], data

    @property
    def said(self) -> str:
        """What was left out, in words; empty if nothing was."""
        return counted(self.left_out) if self.left_out else ""


def gather(words: Iterable[str | os.PathLike[str]]) -> Pictures:
    """The pictures that `words` name. A file that is named is taken whatever its ending is.

    Raises SearchError for what does not exist, a pattern that fits nothing, and a folder or archive without pictures.
    """
    found = Pictures()
    for word in words:
        text = os.fspath(word)
        paths = [text] if Path(text).exists() or not has_magic(text) else sorted(glob(text, recursive=True))  # noqa: PTH207 - a Path takes no absolute pattern
        if not paths:
            raise SearchError(f"{visible(text)}: no file has such a name")
        for path in map(Path, paths):
            if len(paths) > 1 and path.is_dir():
                continue  # **, which names the files in it, too
            _take(path, found, named=paths == [text])
    if not len(found):
        raise SearchError(f"there is no picture in what was named{f' ({found.said})' if found.said else ''}")
    return found


def _take(path: Path, found: Pictures, named: bool) -> None:
    if path.is_dir():
        for name in _pictures(list_folder(path), found, path):
            _add(path / name, found)
    elif not path.exists():
        raise SearchError(f"{visible(str(path))}: no such file or folder")
    elif is_archive(path):
        archive = Archive(path)
        if any(archive == other for other, _ in found.archives):
            return
        names = _pictures(archive.listing(), found, path)
        found.archives.append((archive, {name: archive.locate(name) for name in names}))
    elif named or is_picture(path.name):
        _add(path, found)
    else:
        found.left_out[ending(path.name) or "without ending"] += 1


def _pictures(listing: Listing, found: Pictures, home: Path) -> Sequence[str]:
    """The names of the pictures in a listing. Raises SearchError if there are none."""
    found.left_out.update(listing.left_out)
    names = [file.name for file in listing.files if is_picture(file.name)]
    others = Counter(ending(file.name) or "without ending" for file in listing.files if not is_picture(file.name))
    found.left_out.update(others)
    if not names:
        inside = f" ({counted(others)})" if others else ""
        raise SearchError(f"{visible(str(home))}: no pictures in it{inside}")
    return names


def _add(path: Path, found: Pictures) -> None:
    found.files.setdefault(str(path), path)
