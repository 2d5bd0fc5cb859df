"""A folder for a run's sockets and Ray's files, which goes with the run, however that ends."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

_PREFIX = "search-ray-"


@contextmanager
def scratch() -> Iterator[tuple[Path, int]]:
    """A new folder, and a descriptor that says it is in use for as long as any process holds it.

    Sweeps up first what earlier runs left that were killed together with their nursery.
    """
    for left in Path("/tmp").glob(f"{_PREFIX}*"):
        _sweep_if_stale(left)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp"))  # a socket's path has at most 107 bytes
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield folder, held
    finally:
        with uninterrupted():
            sweep(folder)
            os.close(held)


def sweep(folder: Path) -> None:
    """Kill the processes with open files in `folder`, and remove it.

    Ray's agents outlive a killed raylet by minutes, in vain telling its control store of the death.
    """
    deadline = time.monotonic() + 10
    while folder.exists() and time.monotonic() < deadline:
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if int(entry.name) != os.getpid() and any(_inside(folder, link) for link in (entry / "fd").iterdir()):
                    os.kill(int(entry.name), signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)  # not at once, if a killed process still wrote to it
        if folder.exists():
            time.sleep(0.1)


def _inside(folder: Path, descriptor: Path) -> bool:
    try:
        return folder in descriptor.readlink().parents
    except OSError:  # it was closed since
        return False


def _sweep_if_stale(folder: Path) -> None:
    """Sweep a folder whose run and server were both killed: nobody holds it. A new one may not be held yet."""
    with suppress(OSError):
        seen = folder.lstat()
        if time.time() - seen.st_mtime < 60 or seen.st_uid != os.getuid() or not stat.S_ISDIR(seen.st_mode):
            return  # in /tmp anybody may make one of that name
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            sweep(folder)
        finally:
            os.close(descriptor)


@contextmanager
def handled(handler: Any, *numbers: int) -> Iterator[None]:
    """Give the signals `numbers` to `handler`, and then back to whom they belonged; in a thread, leave them there."""
    if threading.current_thread() is not threading.main_thread():  # no other may ask for signals
        yield
        return
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, owner in zip(numbers, before, strict=True):
            signal.signal(number, owner)


@contextmanager
def unheard() -> Iterator[None]:
    """Ctrl-C prints no Traceback where it arrives amid what cannot raise, or has SQLAlchemy drop a connection.

    There it is lost, so whoever handles it keeps note of it.
    """
    before, pool = sys.unraisablehook, logging.getLogger("sqlalchemy.pool")
    level = pool.level

    def hook(found: sys.UnraisableHookArgs) -> None:
        if not issubclass(found.exc_type, KeyboardInterrupt):
            before(found)

    sys.unraisablehook = hook
    pool.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        sys.unraisablehook = before
        pool.setLevel(level)


def uninterrupted() -> AbstractContextManager[None]:
    """A second Ctrl-C must not leave processes or folders behind."""
    return handled(signal.SIG_IGN, signal.SIGINT)


@contextmanager
def held_back() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until the end: an exception amid Ray's start would leave its processes, or crash."""
    arrived: list[int] = []
    try:
        with handled(lambda number, _: arrived.append(number), signal.SIGINT, signal.SIGTERM):
            yield
    finally:
        if arrived:
            signal.raise_signal(arrived[0])
