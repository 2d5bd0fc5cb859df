"""An archive of pictures, zip or tar, read where it lies: nothing is ever unpacked to disk."""

from __future__ import annotations

import bz2
import gzip
import lzma
import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.data.folders.listing import File, Listing, is_hidden, is_litter
from search.errors import SearchError, visible

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
LARGEST = 1 << 30
"""Bytes of one file in an archive beyond which it is refused: a picture is smaller, and a bomb is not."""
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError)


class Member(Exception):
    """A file in an archive that cannot be read, and why; the others can."""


@dataclass(frozen=True)
class Archive:
    """The archive at `home`. Names of files are their paths in it."""

    home: Path

    def listing(self) -> Listing:
        """The plain files in it. Links, hidden files, what leads out of it and what is too large are counted."""
        found, real = Listing(), str(self.home.resolve())
        names: set[str] = set()
        for name, size, kind in self._members():
            inside = _inside(name)
            parts = inside.split("/")
            folders = parts if kind == "folder" else parts[:-1]
            if any(map(is_litter, parts)):
                continue
            if name.startswith("/") or ".." in parts:
                found.left_out["path that leads out of the archive"] += 1
            elif any(is_hidden(part) for part in parts if part != "."):
                found.left_out["hidden"] += kind == "file"
            elif kind == "other":
                found.left_out["link in the archive"] += 1
            elif kind == "file" and size > LARGEST:
                found.left_out["larger than 1 GiB"] += 1
            elif kind == "file" and inside in names:
                found.left_out["name that stands twice in the archive"] += 1
            else:
                found.folders |= {"/".join(folders[: depth + 1]) for depth in range(len(folders))} - {"."}
                if kind == "file":
                    names.add(inside)
                    found.files.append(File(inside, f"{real}/{inside}"))
        found.files.sort()
        return found

    def _members(self) -> Iterator[tuple[str, int, str]]:
        """Name, size in bytes, and kind of everything in it: file, folder or other. Raises SearchError."""
        try:
            if _is_zip(self.home):
                with zipfile.ZipFile(self.home) as zipped:
                    for info in zipped.infolist():
                        link = (info.external_attr >> 16) & 0o170000 == 0o120000
                        yield info.filename, info.file_size, "other" if link else "folder" if info.is_dir() else "file"
                return
            for _, member in _tarred(self.home):
                kind = "file" if member.isreg() else "folder" if member.isdir() else "other"
                yield member.name, member.size, kind
        except _BROKEN as error:
            raise self._damaged(error) from None

    def read(self, names: set[str]) -> Iterator[tuple[str, bytes | Exception]]:
        """The named files in the archive's order, or why one of them cannot be read. Raises SearchError."""
        left = set(names)
        try:
            if _is_zip(self.home):
                with zipfile.ZipFile(self.home) as zipped:
                    for info in zipped.infolist():
                        name = _inside(info.filename)
                        if name in left and not info.is_dir():
                            left.remove(name)
                            yield name, _unzipped(zipped, info)
                return
            for tar, member in _tarred(self.home):
                name = _inside(member.name)
                if name in left and member.isreg() and not member.name.startswith("/"):
                    left.remove(name)
                    file = tar.extractfile(member)
                    yield name, file.read(LARGEST) if file else b""
        except _BROKEN as error:
            raise self._damaged(error) from None

    def _damaged(self, error: BaseException) -> SearchError:
        return SearchError(f"{visible(str(self.home))}: the archive cannot be read: {error}; copy or download it again")

    def locate(self, name: str) -> str:
        return f"{self.home}/{name}"


def _is_zip(path: Path) -> bool:
    return path.name.lower().endswith(".zip")


def _inside(name: str) -> str:
    """The path of a member from the archive's root; some programs of Windows write it with backslashes."""
    return posixpath.normpath(name if "/" in name else name.replace("\\", "/"))


_PACKED: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
"""The first bytes of a packed file, and what opens it and compares the checksums that it carries."""


def _tarred(path: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The members of a tar in their order. Raises one of _BROKEN if it is damaged, at the latest after the last.

    The tarfile module takes a broken header for the end, and leaves the checksum behind a packed tar unread.
    """
    with path.open("rb") as file:
        start = file.read(8)
    packed = next((opener for first, opener in _PACKED.items() if start.startswith(first)), None)
    with ExitStack() as stack:
        plain: Any = stack.enter_context(packed(path) if packed else path.open("rb"))
        tar: Any = stack.enter_context(tarfile.open(fileobj=plain, mode="r:", errors="surrogateescape"))
        for member in tar:
            yield tar, member
            tar.members.clear()  # a million of them take a gigabyte
        plain.seek(tar.offset)
        while rest := plain.read(1 << 20):
            if rest.strip(b"\0"):
                raise tarfile.ReadError(f"something that is no file of it begins at byte {tar.offset:,}")


def _unzipped(zipped: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes | Exception:
    """The content of one file; a wrong checksum, a password or an unknown method is of this file alone."""
    try:
        with zipped.open(info) as file:
            return file.read(LARGEST)
    except (RuntimeError, *_BROKEN) as error:
        return Member(str(error))


def is_archive(path: Path) -> bool:
    return path.name.lower().endswith(ENDINGS)
