"""Files that appear whole or not at all, under safe names."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from glob import escape
from pathlib import Path
from zlib import crc32


def file_name(study_name: str) -> str:
    """A study's name as part of a file name. Characters that could lead to another folder become dashes."""
    safe = "".join(c if c.isalnum() or c in " ._+-" else "-" for c in study_name).strip(". ")
    return safe.encode()[:180].decode(errors="ignore") or "study"  # file systems count bytes, up to 255 with the rest


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, which then replaces `path`. Nobody ever reads half a file.

    Such files beside `path` that killed processes of this machine have left are deleted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    here = f".{path.name}.{crc32(socket.gethostname().encode()):08x}-"
    for left in path.parent.glob(f"{escape(here)}*.part"):
        if not alive(int(left.name.removeprefix(here).removesuffix(".part"))):
            left.unlink(missing_ok=True)
    part = path.with_name(f"{here}{os.getpid()}.part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def alive(pid: int) -> bool:
    """Whether a process with that number runs on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole."""
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))
