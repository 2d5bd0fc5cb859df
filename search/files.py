"""Files that appear whole or not at all, under names that lead nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def file_name(study_name: str) -> str:
    """A study's name as part of a file's: whatever could lead elsewhere becomes a dash."""
    safe = "".join(c if c.isalnum() or c in " ._+-" else "-" for c in study_name).strip(". ")
    return safe.encode()[:180].decode(errors="ignore") or "study"  # file systems count bytes, up to 255 with the rest


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, which then takes its place: no reader and no crash meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole."""
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))
