"""A folder for a run's sockets and Ray's files. It is removed with the run, however the run ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from search.engine.processes.signals import uninterrupted

_PREFIX = "search-ray-"


@contextmanager
def scratch() -> Iterator[tuple[Path, int]]:
    """A new folder, and an open descriptor of it. The folder is in use as long as any process holds the descriptor.

    Folders of earlier runs that were killed together with their fork servers are removed first.
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

    Ray's agents outlive a killed raylet by minutes: they try to report its death to a control store that is gone.
    """
    deadline = time.monotonic() + 10
    while folder.exists() and time.monotonic() < deadline:
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if int(entry.name) != os.getpid() and any(_inside(folder, link) for link in (entry / "fd").iterdir()):
                    os.kill(int(entry.name), signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)  # it takes a second try if a killed process still wrote there
        if folder.exists():
            time.sleep(0.1)


def _inside(folder: Path, descriptor: Path) -> bool:
    try:
        return folder in descriptor.readlink().parents
    except OSError:  # it is closed by now
        return False


def _sweep_if_stale(folder: Path) -> None:
    """Sweep a folder whose run and fork server were both killed: no process holds it. A new one may not be held yet."""
    with suppress(OSError):
        seen = folder.lstat()
        if time.time() - seen.st_mtime < 60 or seen.st_uid != os.getuid() or not stat.S_ISDIR(seen.st_mode):
            return  # anybody can make a folder of that name in /tmp
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            sweep(folder)
        finally:
            os.close(descriptor)
