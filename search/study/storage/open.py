"""The storage: its URL checked, opened for one process or many, its errors in one line."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from optuna.storages import RDBStorage
from optuna.study import Study
from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, ProgrammingError, SQLAlchemyError

from search.errors import SearchError, StorageFailed, option
from search.files import shared
from search.files.mounts import network_type
from search.study.storage import internals, retry
from search.study.storage.rdb import Storage

_TAKEN = (
    "write it as sqlite:///studies.db or postgresql+psycopg://user@host/database; Optuna's journal file, which one "
    "half-written line breaks for good, is not taken, nor is Redis"
)
_BUSY = 2.0
"""Seconds that SQLite itself waits for a lock; meanwhile Ctrl-C waits, too. What comes after them is outage's."""
_POSTGRES = {
    "client_encoding": "utf8",  # else a database without an encoding hands out bytes
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
"""Of libpq: a server that vanished without a word is found out within a minute."""


def redact(url: str) -> str:
    """The storage's URL without its password, wherever in it that stands."""
    try:
        return make_url(url).set(query={}).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        scheme, separator, _ = url.partition("://")
        return f"{scheme}://..." if separator else "..." if "@" in url else url


def has_password(url: str) -> bool:
    """Whether the storage's URL holds a password, or may."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return "@" in url
    return parsed.password is not None or any("pass" in name.lower() for name in parsed.query)


def check_storage(url: str, must_exist: bool = False) -> None:
    """Raise SearchError if `url` is no storage, one that is not taken, or cannot be reached. Creates nothing."""
    if not isinstance(url, str):
        raise SearchError(f"storage {type(url).__name__}: name its URL; {_TAKEN}")
    try:
        parsed = _parsed(url)
        if parsed.get_backend_name() == "sqlite":
            _check_sqlite(url, parsed, must_exist)
            return
        engine = create_engine(parsed, connect_args=_connect_args(parsed))
        engine.connect().close()
        engine.dispose()
    except (SQLAlchemyError, ModuleNotFoundError, OSError, ValueError) as error:  # ValueError: the port is no number
        raise SearchError(f"storage {redact(url)} cannot be reached: {_why(error)}") from None


def _why(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and str(error.name).startswith("psycopg"):
        return f"Python's package {error.name} is missing; pip install 'psycopg[binary]'"
    if isinstance(error, (ArgumentError, NoSuchModuleError)):
        return f"{retry.reason(error)}; {_TAKEN}"
    return retry.reason(error)


def _check_sqlite(url: str, parsed: URL, must_exist: bool) -> None:
    if not parsed.database or ":memory:" in parsed.database or parsed.query.get("mode") == "memory":
        raise SearchError(f"storage {redact(url)}: a study needs a file, such as sqlite:///studies.db")
    file = _sqlite_file(parsed)
    if must_exist and not file.is_file():
        raise SearchError(f"no storage {redact(url)}; {option('storage')} or SEARCH_STORAGE names another")
    if must_exist and not os.access(file, os.R_OK, effective_ids=True):
        raise SearchError(f"storage {redact(url)}: {file} may not be read by this user")
    if not must_exist and not _may_write(file):
        raise SearchError(f"storage {redact(url)}: {file.parent} is no folder that can be written to")
    if file.is_dir():
        raise SearchError(f"storage {redact(url)}: {file} is a folder")
    kind = network_type(file)
    if kind is not None:
        raise SearchError(
            f"storage {redact(url)}: it lies on a network file system ({kind}), where SQLite's locks and its log in "
            "shared memory do not hold and the file breaks; use a local file, or PostgreSQL"
        )
    if file.is_file() and not _is_sqlite(file):
        raise SearchError(f"storage {redact(url)}: {file} is no SQLite file; {_TAKEN}")


def _may_write(file: Path) -> bool:
    """Whether this user may write to an SQLite file, which takes files beside it."""
    there = [file.parent, *([file] if file.exists() else [])]
    return all(path.exists() and os.access(path, os.W_OK, effective_ids=True) for path in there)


def _sqlite_file(parsed: URL) -> Path:
    """The file of an SQLite URL, which SQLite may be given as a URI of its own."""
    name = parsed.database or ""
    return Path(unquote(urlsplit(name).path) if name.startswith("file:") else name)


def absolute(url: str) -> str:
    """The URL as it is right in any working directory."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or (parsed.database or "").startswith("file:"):
        return url
    return parsed.set(database=str(_sqlite_file(parsed).absolute())).render_as_string(hide_password=False)


def _is_sqlite(file: Path) -> bool:
    """Whether SQLite takes the file; an empty one, too.

    Only SQLite may open it: closing another descriptor would drop the locks of this process's connections.
    """
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            connection.execute("PRAGMA schema_version")
        except sqlite3.DatabaseError as error:
            return "not a database" not in str(error)
    return True


def _parsed(url: str) -> URL:
    """The URL, with the driver that is installed where it names none. Raises ArgumentError, ValueError."""
    parsed = make_url(url)
    plain = parsed.drivername in ("postgres", "postgresql")
    return parsed.set(drivername="postgresql+psycopg") if plain and find_spec("psycopg2") is None else parsed


class _Logged(sqlite3.Connection):
    """With a write-ahead log from its first statement: a table that is created does not wait for the disk either."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")


def _connect_args(parsed: URL) -> dict[str, Any]:
    if parsed.get_backend_name() == "sqlite":
        return {"timeout": _BUSY, "factory": _Logged}
    if parsed.drivername in ("postgresql+psycopg", "postgresql+psycopg2", "postgresql"):
        return {name: value for name, value in _POSTGRES.items() if name not in parsed.query}
    return {}


def _lock_folder() -> Path:
    """A folder for locks among the temporary files, where others could put a link in a lock's place."""
    folder = Path(tempfile.gettempdir()) / f"search-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    seen = folder.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid() or seen.st_mode & 0o022:
        raise SearchError(f"{folder}: others may write to it, and locks belong there; remove it, or set TMPDIR")
    return folder


def connect(url: str) -> RDBStorage:
    """Open the storage at `url`; its tables are created once, by one process at a time.

    SQLite is set to WAL with synchronous=NORMAL: a killed process loses nothing, and readers do not wait.
    """
    check_storage(url)
    parsed = _parsed(url)
    place = str(_sqlite_file(parsed).resolve()) if parsed.get_backend_name() == "sqlite" else url
    lock = _lock_folder() / f"{hashlib.sha256(place.encode(errors='surrogateescape')).hexdigest()[:12]}.lock"
    try:
        with shared.alone(lock, "opens the same storage"):
            return _created(parsed)
    except (*retry.ERRORS, RuntimeError, ImportError) as error:
        raise SearchError(f"storage {redact(url)} cannot be used: {retry.reason(error)}") from None


def _created(parsed: URL) -> Storage:
    """The storage with its tables, which another machine may be creating, too: then they are there the next time."""
    whole = parsed.render_as_string(hide_password=False)
    whole = whole.replace("{", "{{").replace("}", "}}")  # Optuna fills a template
    waiting = retry.Outage(redact(str(parsed)))
    for last in (False, False, True):
        try:
            return waiting.through(lambda: Storage(whole, {"connect_args": _connect_args(parsed)}))
        except (IntegrityError, ProgrammingError):
            if last:
                raise
            time.sleep(0.5)
    raise AssertionError


def warm_up() -> None:
    """Do what the first storage of a process takes half a second for: imports, mappings, statements."""
    RDBStorage("sqlite://")


@contextmanager
def storage_errors(url: str, hint: str = "") -> Iterator[None]:
    """Turn what a storage or a disk that gives up raises into StorageFailed, with `hint` at the end of its line."""
    try:
        yield
    except retry.ERRORS as error:
        raise StorageFailed(f"storage {redact(url)} failed: {retry.reason(error)}{hint}") from error
    except BrokenPipeError:  # of `search report STUDY | head`
        raise
    except OSError as error:
        raise StorageFailed(f"{error}{hint}") from error


def hurry(study: Study) -> None:
    """The user wants to leave: from now on the study's storage, if it is away, is waited for a moment only."""
    storage = internals.uncached(internals.storage_of(study))
    if isinstance(storage, Storage):
        storage.outage.patience = retry.HURRY


def open_storage(url: str) -> RDBStorage:
    """An existing storage, to be read, also where this user may not write to it. Raises SearchError."""
    check_storage(url, must_exist=True)
    parsed = _parsed(url)
    if parsed.get_backend_name() != "sqlite" or _may_write(_sqlite_file(parsed)):
        return connect(url)
    file = _sqlite_file(parsed).absolute()
    log = file.with_name(f"{file.name}-wal")
    # Without a log nobody writes to the file; with one, SQLite has to read it, too.
    query = "mode=ro&uri=true" if log.is_file() and log.stat().st_size else "mode=ro&immutable=1&uri=true"
    try:
        return Storage(f"sqlite:///file:{quote(str(file))}?{query}", make_tables=False)
    except (*retry.ERRORS, RuntimeError) as error:
        raise SearchError(f"storage {redact(url)} cannot be read: {retry.reason(error)}") from None
