"""Folders that several users of a machine share: what is new in one of them is as open to others as the folder is.

A folder with the sticky bit, such as /tmp, is shared, too, but what lies in it belongs to its maker alone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from search.files.arrays import tell

PATIENCE = 5.0
"""Seconds that a process waits for another's lock without a word."""
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def make(folder: Path, belongs: bool = True) -> None:
    """Make `folder`, and the folder above it, if they are not there.

    `belongs`: in a sticky folder, the new one is its maker's. False: everybody may add to it.
    """
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    share(folder, belongs)


def share(path: Path, belongs: bool = True) -> None:
    """Let others do with a new file or folder what they may do with the folder that it lies in.

    Nothing changes where only the owner of that folder may write to it.
    """
    above = path.parent.stat().st_mode
    sticky = bool(above & stat.S_ISVTX)
    if above & _OTHERS_WRITE and not (sticky and belongs):
        path.chmod(above & 0o3777 if path.is_dir() else above & 0o666)


def share_all(folder: Path) -> None:
    """Share `folder`, and then all that lies in it."""
    share(folder)
    for path in sorted(folder.rglob("*")):
        share(path)


def lock(path: Path, timeout: float = -1) -> FileLock:
    """The lock `path`, which other users of its folder can take, too; in a sticky folder, one for each user."""
    above = path.parent.stat().st_mode
    if above & stat.S_ISVTX:
        path = path.with_name(f"{path.name}.{os.getuid()}")
    return FileLock(path, timeout, mode=above & 0o666 if above & _OTHERS_WRITE else -1)


@contextmanager
def alone(path: Path, doing: str) -> Iterator[None]:
    """Hold the lock `path`. Who waits for it is told, for the process that has it may be stopped, or hang.

    `doing`: what a process does that has it, in the third person.
    """
    held = lock(path)
    try:
        held.acquire(PATIENCE)
    except Timeout:
        tell(f"waiting for another process, which {doing} and has {held.lock_file}")
        held.acquire(-1)
    try:
        yield
    finally:
        held.release()


def own(home: Path) -> Path:
    """The name of this user's own copy of what lies at `home`, where another user made that and lets nobody write."""
    return home.with_name(f"{home.name}.{os.getuid()}")
