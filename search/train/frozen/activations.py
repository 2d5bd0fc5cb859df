"""Activations of frozen layers, computed once and shared by all trials, workers and later studies."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from search.config import CACHE_SIZE
from search.data.cache import cache_root
from search.errors import option

CHUNK = 512
"""Images that one process computes at a time; workers that want the same activations share out the chunks."""

_ABANDONED_S = 3600
"""Seconds without a new chunk after which nobody is taken to compute an array any more."""


class NoRoom(Exception):
    """Why activations cannot be kept."""


def load(key: str, rows: int, like: Tensor, compute: Callable[[range], Tensor], budget: int = CACHE_SIZE) -> Tensor:
    """The activations called `key`, (rows, ...), memory-mapped; computes what no process has yet.

    `like`: the activations (1, ...) of one image, for shape and type. `compute`: activations of a range of rows. An
    array appears under its name only when it is whole; a process that dies leaves its chunk to the others. The least
    recently used arrays make room. Raises NoRoom if `budget`, in bytes, or the disk is too small.
    """
    home = cache_root() / "features" / key
    whole = home / "values.npy"
    try:
        if not whole.is_file():
            _compute(home, rows, like, compute, budget)
        os.utime(home)  # the last use
        values = torch.from_numpy(np.load(whole, mmap_mode="c"))
    except OSError as error:
        raise NoRoom(f"{home} cannot be used: {error}") from None
    return values.view(torch.bfloat16) if like.dtype == torch.bfloat16 else values  # NumPy has no such type


def _compute(home: Path, rows: int, like: Tensor, compute: Callable[[range], Tensor], budget: int) -> None:
    """Compute every chunk that is free, wait for those that are not, and give the array its name."""
    whole, part = home / "values.npy", home / "values.part"
    _reserve(home, (rows, *like.shape[1:]), like, budget)
    chunks = [range(first, min(first + CHUNK, rows)) for first in range(0, rows, CHUNK)]
    for patience in (0, -1):  # -1: for as long as it takes
        for chunk in chunks:
            done = home / f"{chunk.start}.done"
            try:
                with FileLock(home / f"{chunk.start}.lock", timeout=patience):
                    if not done.exists() and not whole.exists():
                        values = compute(chunk).cpu()
                        array = np.load(part, mmap_mode="r+")
                        array[chunk.start : chunk.stop] = _plain(values).numpy()
                        array.flush()
                        done.touch()
            except Timeout:
                continue
    with FileLock(home / "lock"):
        if not whole.exists():
            part.rename(whole)
        for left in (*home.glob("*.done"), *home.glob("*.lock")):
            left.unlink(missing_ok=True)


def _plain(values: Tensor) -> Tensor:
    return values.view(torch.int16) if values.dtype == torch.bfloat16 else values


def _reserve(home: Path, shape: Sequence[int], like: Tensor, budget: int) -> None:
    """An array of zeros under the name values.part, and room for it on the disk."""
    root = home.parent
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / "lock"):
        if (home / "values.npy").exists() or (home / "values.part").exists():
            return
        size = int(np.prod(shape)) * like.element_size()
        kept = {folder: _size(folder) for folder in root.iterdir() if folder.is_dir() and folder != home}
        for folder in sorted(kept, key=lambda f: f.stat().st_mtime):
            if sum(kept.values()) + size <= budget and size <= shutil.disk_usage(root).free:
                break
            if _droppable(folder):
                shutil.rmtree(folder)
                del kept[folder]
        if sum(kept.values()) + size > budget:
            raise NoRoom(
                f"{_gb(size)} of activations, of at most {_gb(budget)} kept; {option('cache_size')} allows more"
            )
        if size > shutil.disk_usage(root).free:
            raise NoRoom(f"{_gb(size)} of activations do not fit on the disk of {root}")
        home.mkdir(exist_ok=True)
        try:
            _allocate(home / "values.part", tuple(shape), _plain(like.cpu()).numpy().dtype)
        except OSError:
            shutil.rmtree(home)
            raise


def _allocate(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """An array of zeros whose bytes are on the disk: writing to a mapping of a file with holes may end the process."""
    new = path.with_suffix(".new")
    np.lib.format.open_memmap(new, "w+", dtype, shape).flush()
    with new.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, file.seek(0, os.SEEK_END))
    new.rename(path)


def _droppable(folder: Path) -> bool:
    """Whether nobody computes the array: whoever reads it keeps what is mapped, even of a deleted file."""
    return (folder / "values.npy").exists() or time.time() - folder.stat().st_mtime > _ABANDONED_S


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


def _gb(size: int) -> str:
    return f"{size / 1e9:.3g} GB"
