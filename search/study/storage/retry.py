"""A storage that goes away in the middle of a run is waited for: how long, and what counts as away."""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

T = TypeVar("T")

ERRORS = (SQLAlchemyError, StorageInternalError)
"""What a storage raises when it fails; Optuna wraps SQLAlchemy's."""
PATIENCE = 300.0
"""Seconds that a storage is waited for."""
HURRY = 2.0
"""Seconds, once the user wants to leave."""
_SAID_AFTER = 2.0
"""Seconds; a connection that was merely stale is replaced at once, and nobody needs to know."""
_LONGEST_PAUSE = 1.0
_AWAY = ("08", "25006", "40", "53", "55", "57", "58")
"""SQLSTATE, its class or whole: connection, a replica after a failover, rolled back, out of resources, locked, shut
down, system error. https://www.postgresql.org/docs/current/errcodes-appendix.html"""
_DISK_FULL = "53100"
_NO_PRIVILEGE = "42501"


def reason(error: BaseException) -> str:
    """What a storage's error says, on one line, without the statement and its values."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    lines = str(getattr(cause, "orig", None) or cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__


def is_denied(error: BaseException) -> bool:
    """Whether the storage takes no writes from this user."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    origin = getattr(cause, "orig", None)
    if isinstance(origin, sqlite3.Error):
        return int(getattr(origin, "sqlite_errorcode", 0)) & 0xFF == sqlite3.SQLITE_READONLY
    return getattr(origin, "sqlstate", None) == _NO_PRIVILEGE


def is_away(error: BaseException) -> bool:
    """Whether the storage does not answer now, but may later. A full disk or a wrong value does not pass by itself."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if not isinstance(cause, DBAPIError):
        return False
    origin = cause.orig
    if isinstance(origin, sqlite3.Error):
        code = int(getattr(origin, "sqlite_errorcode", 0)) & 0xFF  # the rest of it says why
        return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    state = getattr(origin, "sqlstate", None) or getattr(origin, "pgcode", None)
    if state:
        return str(state) != _DISK_FULL and str(state).startswith(_AWAY)
    return bool(cause.connection_invalidated) or isinstance(cause, (OperationalError, InterfaceError))


class Outage:
    """The absences of one storage, for all threads that use it."""

    def __init__(self, storage: str) -> None:
        """`storage`: its name, which is said; without its password."""
        self.patience = PATIENCE
        self._storage = storage
        self._lock = threading.Lock()
        self._since: float | None = None
        self._said = False

    def through(self, attempt: Callable[[], T]) -> T:
        """What `attempt` returns, tried again for `patience` seconds while the storage is away; one line says so.

        The seconds count from the first failure of any thread: what is tried after them fails at once. Raises what
        `attempt` raised.
        """
        pause = 0.02
        while True:
            try:
                result = attempt()
            except ERRORS as error:
                if not is_away(error) or not self._goes_on(error):
                    raise
            else:
                self._over()
                return result
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _goes_on(self, error: BaseException) -> bool:
        with self._lock:
            now = time.monotonic()
            self._since = now if self._since is None else self._since
            away = now - self._since
            if away > self.patience:
                return False
            if not self._said and away > _SAID_AFTER:
                self._said = True
                left = f"for up to {self.patience / 60:.0f} min" if self.patience >= 60 else f"for {self.patience:g} s"
                self._say(f"does not answer: {reason(error)}; trying again {left}, and nothing is lost meanwhile")
            return True

    def _over(self) -> None:
        if self._since is None:  # as nearly always: without the lock
            return
        with self._lock:
            if self._since is not None and self._said:
                self._say(f"answers again, after {time.monotonic() - self._since:.0f} s")
            self._since, self._said = None, False

    def _say(self, what: str) -> None:
        print(f"search: storage {self._storage} {what}", file=sys.stderr, flush=True)
