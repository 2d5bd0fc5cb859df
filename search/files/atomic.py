"""Files that appear whole or not at all, under safe names."""

from __future__ import annotations

import hashlib
import os
import socket
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from glob import escape
from pathlib import Path
from zlib import crc32

_LONGEST = 180
"""Bytes of a study's part of a file name. File systems count bytes, up to 255 with the rest."""


def file_name(study_name: str, of: str | None = None) -> str:
    """A study's name as part of a file name. Two names never have the same.

    A plain name stays as it is: letters, digits and ``_.+-``, blanks within, at most 180 bytes. Any other name is
    cleaned, and ends with ``~`` and 16 digits of its sha256, which no plain name does. Where the file system of the
    working directory does not tell capitals apart, a name with capitals is not plain. `of`: the text whose digits
    stand there in any case.
    """
    return distinct_name(study_name, ignores_case(Path.cwd()), of)


@lru_cache(maxsize=1024)
def distinct_name(name: str, caseless: bool, of: str | None = None) -> str:
    """What `file_name` says, on a file system of one kind. `caseless`: it does not tell capitals apart."""
    safe = "".join(c if c.isalnum() or c in " ._+-" else "-" for c in name).strip(". ")
    plain = safe == name and safe == unicodedata.normalize("NFC", safe) and 0 < len(safe.encode()) <= _LONGEST
    if plain and of is None and not (caseless and safe != safe.casefold()):
        return safe
    mark = f"~{hashlib.sha256((of or name).encode(errors='surrogatepass')).hexdigest()[:16]}"
    return (safe.encode()[: _LONGEST - len(mark)].decode(errors="ignore") or "study") + mark


@lru_cache(maxsize=8)
def ignores_case(folder: Path) -> bool:
    """Whether the file system of `folder` takes two names that differ only in capitals for one."""
    inside = [*folder.iterdir()] if folder.is_dir() else []
    for path in (*inside, folder):
        if path.name.swapcase() != path.name:
            try:
                return path.samefile(path.with_name(path.name.swapcase()))
            except OSError:  # there is no such file
                return False
    return False


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
