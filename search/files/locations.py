"""Folders for weights and checkpoints: a path, or a URL such as s3://bucket/folder, which fsspec reaches."""

from __future__ import annotations

import io
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from pkgutil import resolve_name
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any, BinaryIO, Protocol

from search.errors import SearchError, first_line, option
from search.files.atomic import write_whole

Where = Path | str
"""A path of a file system, or a URL as text."""
Content = io.BufferedReader | io.BytesIO


class Place(Protocol):
    """A folder whose files appear whole or not at all. Every failure is an OSError."""

    def names(self) -> list[str]:
        """The sorted names of the files and folders in it. Empty if the folder does not exist."""

    def open(self, name: str) -> Content: ...

    def write(self, fill: Callable[[BinaryIO], str]) -> None:
        """Keep the content that `fill` writes, under the name that `fill` returns."""

    def delete(self, *names: str) -> None:
        """Delete those of the files that exist."""

    def delete_folder(self, name: str) -> None:
        """Delete a folder in it with its content, if it exists."""


def place(where: Where) -> Place:
    """The folder at `where`. The first write makes it. Raises OSError."""
    return Folder(where) if isinstance(where, Path) else Bucket(where)


def expected(where: Where, size: int) -> float:
    """The estimated seconds of a first write of `size` bytes. Later estimates use measured times."""
    return 0.01 + size / 200e6 if isinstance(where, Path) else 0.2 + size / 50e6


class Folder:
    """A folder of a file system. A file is on the disk when `write` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        try:
            return sorted(path.name for path in self._path.iterdir())
        except FileNotFoundError:
            return []

    def open(self, name: str) -> Content:
        return (self._path / name).open("rb")

    def write(self, fill: Callable[[BinaryIO], str]) -> None:
        self._path.mkdir(parents=True, exist_ok=True)
        part = self._path / f".{os.getpid()}.part"
        try:
            with part.open("wb") as file:
                name = fill(file)
                file.flush()
                os.fsync(file.fileno())
            part.rename(self._path / name)
        finally:
            part.unlink(missing_ok=True)
        _sync(self._path)

    def delete(self, *names: str) -> None:
        for name in names:
            (self._path / name).unlink(missing_ok=True)

    def delete_folder(self, name: str) -> None:
        shutil.rmtree(self._path / name, ignore_errors=True)


class Bucket:
    """A folder of an object store. A file is complete in the store when `write` returns.

    Every exception of the store's library becomes an OSError.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        with _told(url):
            self._files, self._root = _opened(url)

    def names(self) -> list[str]:
        with _told(self._url):
            self._files.invalidate_cache()  # others write there, too
            try:
                found = self._files.ls(self._root, detail=False)
            except FileNotFoundError:
                return []
            return sorted({name.rstrip("/").rpartition("/")[2] for name in found} - {""})

    def open(self, name: str) -> Content:
        with _told(self._url):
            return io.BytesIO(self._files.cat_file(f"{self._root}/{name}"))

    def write(self, fill: Callable[[BinaryIO], str]) -> None:
        content = io.BytesIO()
        name = fill(content)
        with _told(self._url):
            self._files.pipe_file(f"{self._root}/{name}", content.getvalue())

    def delete(self, *names: str) -> None:
        for name in names:
            with _told(self._url), suppress(FileNotFoundError):
                self._files.rm_file(f"{self._root}/{name}")

    def delete_folder(self, name: str) -> None:
        with _told(self._url), suppress(FileNotFoundError):
            self._files.invalidate_cache()
            self._files.rm(f"{self._root}/{name}", recursive=True)

    def put(self, file: Path, name: str) -> None:
        """Copy a file of this machine into the store."""
        with _told(self._url):
            self._files.put_file(str(file), f"{self._root}/{name}")

    def get(self, name: str, file: Path) -> None:
        """Copy a file of the store to this machine."""
        with _told(self._url):
            self._files.get_file(f"{self._root}/{name}", str(file))


def write(where: Where, fill: Callable[[Path], object]) -> None:
    """Let `fill` write a file, and put it whole at `where`. Raises OSError, and what `fill` raises."""
    if isinstance(where, Path):
        write_whole(where, fill)
        return
    folder, _, name = where.rpartition("/")
    with ExitStack() as stack:
        with TemporaryDirectory(prefix="search-") as home:
            fill(Path(home, name))
            file = stack.enter_context(Path(home, name).open("rb"))
        # The file is in no folder any more, so a process that is killed during the upload leaves nothing.
        Bucket(folder).put(_name_of(file), name)


@contextmanager
def fetched(where: Where) -> Iterator[Path]:
    """A copy on this machine of the file at `where`, or the file itself if it is here. Raises OSError."""
    if isinstance(where, Path):
        yield where
        return
    folder, _, name = where.rpartition("/")
    with TemporaryFile() as file:
        Bucket(folder).get(name, _name_of(file))
        yield _name_of(file)


def is_file(where: Where) -> bool:
    """Whether the file exists. False if the store does not answer."""
    if isinstance(where, Path):
        return where.is_file()
    folder, _, name = where.rpartition("/")
    try:
        return name in Bucket(folder).names()
    except OSError:
        return False


def under(where: Where, *names: str) -> Where:
    """The path or URL of `names` below `where`."""
    return where.joinpath(*names) if isinstance(where, Path) else "/".join([where, *names])


def check(where: Where) -> None:
    """Raise SearchError unless files can be written, listed, read and deleted at `where`. No file stays there."""
    if isinstance(where, Path):
        written_to(where, "run_dir")
        return
    name, content = f".probe/{uuid.uuid4().hex}", uuid.uuid4().bytes

    def fill(file: BinaryIO) -> str:
        file.write(content)
        return name

    try:
        there = Bucket(where)
        there.write(fill)
        try:
            found = ".probe" in there.names() and there.open(name).read() == content
        finally:
            there.delete(name)
    except OSError as error:
        raise SearchError(f"{option('run_dir', error)}") from None
    if not found:
        raise SearchError(f"{option('run_dir', where)}: a file that was written there cannot be read again")


def checked_before(where: Where, function: str, *args: Any) -> Any:
    """Check `where` from this machine, then call `function` (a name such as module:function) with `args`."""
    check(where)
    return resolve_name(function)(*args)


def written_to(folder: Path, name: str) -> Path:
    """`folder`, if it is writable or can be made. `name`: its option, for the message. Raises SearchError."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise SearchError(f"{option(name, folder)}: {there} is no folder that can be written to")
    return folder


def _opened(url: str) -> tuple[Any, str]:
    """fsspec's file system for the URL, and the URL's path in it. Raises OSError if a package is missing."""
    from fsspec.core import url_to_fs  # late: a plain folder does not need it

    try:
        files, root = url_to_fs(url)
    except ImportError as error:
        name = getattr(error.__cause__, "name", None) or error.name
        raise OSError(f"Python's package {name} is missing; pip install {name}" if name else str(error)) from None
    return files, root.rstrip("/")


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn every exception into an OSError that names the URL."""
    try:
        yield
    except Exception as error:
        raise OSError(f"{url}: {first_line(error)}") from None


def _name_of(file: IO[bytes]) -> Path:
    """A path to a file that this process has open, even if the file is in no folder any more."""
    return Path(f"/proc/self/fd/{file.fileno()}")


def _sync(folder: Path) -> None:
    """Write the folder's list of names to the disk."""
    with suppress(OSError):  # not every file system can
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
