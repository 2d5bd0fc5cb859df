"""Where weights and checkpoints go: a folder, or a URL such as s3://bucket/folder, which fsspec reaches."""

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
"""A path of a file system, or, as text, a URL."""
Content = io.BufferedReader | io.BytesIO


class Place(Protocol):
    """A folder whose files appear whole or not at all. What it cannot do raises OSError."""

    def names(self) -> list[str]:
        """Of the files and folders in it, sorted; none where it is not there."""

    def open(self, name: str) -> Content: ...

    def write(self, fill: Callable[[BinaryIO], str]) -> None:
        """Keep what `fill` writes, under the name that it returns."""

    def delete(self, *names: str) -> None:
        """Delete the files, as far as they are there."""

    def delete_folder(self, name: str) -> None:
        """Delete a folder in it, with all that it holds, if it is there."""


def place(where: Where) -> Place:
    """The folder at `where`; nothing is made there before something is written. Raises OSError."""
    return Folder(where) if isinstance(where, Path) else Bucket(where)


def expected(where: Where, size: int) -> float:
    """Seconds that a first write of so many bytes is taken to last; what the next last is known by then."""
    return 0.01 + size / 200e6 if isinstance(where, Path) else 0.2 + size / 50e6


class Folder:
    """A folder of a file system: what it holds is on the disk when `write` returns."""

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
    """A folder of an object store: what is put there is there whole, as soon as that is done.

    Whatever the store's library raises comes as an OSError.
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
        """Keep the content of a file of this machine."""
        with _told(self._url):
            self._files.put_file(str(file), f"{self._root}/{name}")

    def get(self, name: str, file: Path) -> None:
        """Write what is kept into a file of this machine."""
        with _told(self._url):
            self._files.get_file(f"{self._root}/{name}", str(file))


def write(where: Where, fill: Callable[[Path], object]) -> None:
    """Let `fill` write a file, which then is at `where`, whole. Raises OSError, and what `fill` raises."""
    if isinstance(where, Path):
        write_whole(where, fill)
        return
    folder, _, name = where.rpartition("/")
    with ExitStack() as stack:
        with TemporaryDirectory(prefix="search-") as home:
            fill(Path(home, name))
            file = stack.enter_context(Path(home, name).open("rb"))
        # No folder holds it any more, so a process that is killed amid the upload leaves nothing.
        Bucket(folder).put(_name_of(file), name)


@contextmanager
def fetched(where: Where) -> Iterator[Path]:
    """The file at `where`, on this machine. Raises OSError."""
    if isinstance(where, Path):
        yield where
        return
    folder, _, name = where.rpartition("/")
    with TemporaryFile() as file:
        Bucket(folder).get(name, _name_of(file))
        yield _name_of(file)


def is_file(where: Where) -> bool:
    """Whether there is a file, as far as can be known."""
    if isinstance(where, Path):
        return where.is_file()
    folder, _, name = where.rpartition("/")
    try:
        return name in Bucket(folder).names()
    except OSError:
        return False


def under(where: Where, *names: str) -> Where:
    """The path or URL of what lies below `where`."""
    return where.joinpath(*names) if isinstance(where, Path) else "/".join([where, *names])


def check(where: Where) -> None:
    """Raise SearchError unless files can be written at `where`, listed, read and deleted. Nothing is left there."""
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
        raise SearchError(f"{option('run_dir', where)}: what is written there is not found again")


def checked_before(where: Where, function: str, *args: Any) -> Any:
    """What `function`, named as module:function, returns for `args`, once `where` is checked from this machine."""
    check(where)
    return resolve_name(function)(*args)


def written_to(folder: Path, name: str) -> Path:
    """`folder`, into which files can be written, or which can be made; `name` is its option's. Raises SearchError."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise SearchError(f"{option(name, folder)}: {there} is no folder that can be written to")
    return folder


def _opened(url: str) -> tuple[Any, str]:
    """fsspec's file system for the URL, and the URL's path in it. Raises OSError for a package that is missing."""
    from fsspec.core import url_to_fs  # late: nobody with a folder waits for it

    try:
        files, root = url_to_fs(url)
    except ImportError as error:
        name = getattr(error.__cause__, "name", None) or error.name
        raise OSError(f"Python's package {name} is missing; pip install {name}" if name else str(error)) from None
    return files, root.rstrip("/")


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Raise an OSError that names the URL for whatever goes wrong."""
    try:
        yield
    except Exception as error:
        raise OSError(f"{url}: {first_line(error)}") from None


def _name_of(file: IO[bytes]) -> Path:
    """A path that opens a file which this process has open, though no folder holds it."""
    return Path(f"/proc/self/fd/{file.fileno()}")


def _sync(folder: Path) -> None:
    """Have the folder's names on the disk."""
    with suppress(OSError):  # not every file system can
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
