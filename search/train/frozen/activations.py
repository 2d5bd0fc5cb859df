"""Activations of frozen layers, computed once and shared by all trials, workers and later studies."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import Timeout
from numpy.typing import NDArray
from torch import Tensor

from search.config import CACHE_SIZE
from search.data.cache import cache_root
from search.errors import option
from search.files import shared
from search.files.arrays import BLOCK, Damaged, checksum, opened, read_record, tell, write_record

CHUNK = BLOCK
"""Images that one process computes at a time; workers that want the same activations share out the chunks."""

_ABANDONED_S = 3600
"""Seconds without a new chunk after which nobody is taken to compute an array any more."""


class NoRoom(Exception):
    """Why activations cannot be kept."""


def load(key: str, rows: int, like: Tensor, compute: Callable[[range], Tensor], budget: int = CACHE_SIZE) -> Tensor:
    """The activations called `key`, (rows, ...), memory-mapped; computes what no process has yet.

    `like`: the activations (1, ...) of one image, for shape and type. `compute`: activations of a range of rows. An
    array appears under its name only when it is whole; a process that dies leaves its chunk to the others. A damaged
    array is named and computed again. The least recently used arrays make room. Raises NoRoom if `budget`, in bytes,
    or the disk is too small.
    """
    home = cache_root() / "features" / key
    try:
        shared.make(cache_root(), belongs=False)
        shared.make(home.parent, belongs=False)
        try:
            values = _load(home, rows, like, compute, budget)
        except PermissionError:  # another user began it, and lets nobody write to it
            values = _load(shared.own(home), rows, like, compute, budget)
    except OSError as error:
        raise NoRoom(f"{home} cannot be used: {error}") from None
    return values.view(torch.bfloat16) if like.dtype == torch.bfloat16 else values  # NumPy has no such type


def _load(home: Path, rows: int, like: Tensor, compute: Callable[[range], Tensor], budget: int) -> Tensor:
    """The array in the folder `home`. Raises NoRoom, and OSError."""
    shape, values = (rows, *like.shape[1:]), None
    for again in (True, True, False):  # what others have begun may be damaged, too
        try:
            values = _whole(home, shape)
        except Damaged as error:
            if not again:
                raise NoRoom(f"{home}: damaged as soon as it was written: {error}") from None
            _drop(home, shape, str(error))
        if values is not None:
            break
        _compute(home, shape, like, compute, budget)
    if values is None:  # others needed the room
        raise NoRoom(f"{home} is gone again")
    with suppress(PermissionError):  # another user's
        os.utime(home)  # the last use
    return torch.from_numpy(values)


def _whole(home: Path, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """The array, if it is there. Raises Damaged."""
    try:
        about = read_record(home / "index")
        values = opened(home / "values.npy", about, "c")
    except FileNotFoundError:
        if (home / "values.npy").exists():
            raise Damaged("its checksums are missing") from None
        return None
    if values.shape != shape:
        raise Damaged(f"{values.shape}, not {shape}")
    return values


def _drop(home: Path, shape: tuple[int, ...], why: str) -> None:
    """Delete an array that is damaged, unless another process has done so. Who reads it keeps what is mapped."""
    with shared.lock(home.parent / "lock"):
        try:
            _whole(home, shape)
        except Damaged:
            tell(f"{home}: damaged, and computed again: {why}")
            shutil.rmtree(home)


def _compute(home: Path, shape: tuple[int, ...], like: Tensor, compute: Callable[[range], Tensor], budget: int) -> None:
    """Compute every chunk that is free, wait for those that are not, and give the array its name."""
    whole, part = home / "values.npy", home / "values.part"
    _reserve(home, shape, like, budget)
    chunks = [range(first, min(first + CHUNK, shape[0])) for first in range(0, shape[0], CHUNK)]
    for patience in (0, -1):  # -1: for as long as it takes
        for chunk in chunks:
            done = home / f"{chunk.start}.done"
            try:
                with shared.lock(home / f"{chunk.start}.lock", patience):
                    if _sum(done) is None and not whole.exists():
                        values = _plain(compute(chunk).cpu()).numpy()
                        array = np.load(part, mmap_mode="r+")
                        array[chunk.start : chunk.stop] = values
                        array.flush()
                        write_record(done, checksum(values))
                        shared.share(done)
            except Timeout:
                continue
    with shared.lock(home / "lock"):
        if not whole.exists():
            dtype = _plain(like.cpu()).numpy().dtype.str
            sums = [_sum(home / f"{chunk.start}.done") for chunk in chunks]
            write_record(home / "index", {"shape": list(shape), "dtype": dtype, "crc32": sums})
            shared.share(home / "index")
            part.rename(whole)
        for left in (*home.glob("*.done"), *home.glob("*.lock")):
            left.unlink(missing_ok=True)


def _sum(done: Path) -> int | None:
    """The checksum of a chunk that is computed; None if it is not."""
    try:
        found = read_record(done)
    except (FileNotFoundError, Damaged):
        return None
    return found if isinstance(found, int) else None


def _plain(values: Tensor) -> Tensor:
    return values.view(torch.int16) if values.dtype == torch.bfloat16 else values


def _reserve(home: Path, shape: Sequence[int], like: Tensor, budget: int) -> None:
    """An array of zeros under the name values.part, and room for it on the disk."""
    root = home.parent
    with shared.lock(root / "lock"):
        if (home / "values.npy").exists() or _fits(home / "values.part", shape, like):
            return
        shutil.rmtree(home, ignore_errors=True)
        size = int(np.prod(shape)) * like.element_size()
        folders = (folder for folder in root.iterdir() if folder.is_dir() and folder != home)
        kept = {folder: _size(folder) for folder in folders if os.access(folder, os.R_OK | os.X_OK)}
        for folder in sorted(kept, key=lambda f: f.stat().st_mtime):
            if sum(kept.values()) + size <= budget and size <= shutil.disk_usage(root).free:
                break
            if _droppable(folder):
                shutil.rmtree(folder, ignore_errors=True)  # another user may not let us
                if not folder.exists():
                    del kept[folder]
        if sum(kept.values()) + size > budget:
            raise NoRoom(
                f"{_gb(size)} of activations, of at most {_gb(budget)} kept; {option('cache_size')} allows more"
            )
        if size > shutil.disk_usage(root).free:
            raise NoRoom(f"{_gb(size)} of activations do not fit on the disk of {root}")
        shared.make(home)
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
    shared.share(new)
    new.rename(path)


def _fits(part: Path, shape: Sequence[int], like: Tensor) -> bool:
    """Whether others have begun the array, and what they have is an array of that shape and type."""
    try:
        array = np.lib.format.open_memmap(part, "r")
        if (array.shape, array.dtype) == (tuple(shape), _plain(like.cpu()).numpy().dtype):
            return True
    except FileNotFoundError:
        return False
    except PermissionError:
        raise
    except Exception:  # NumPy parses the header as Python, and may raise anything
        pass
    tell(f"{part}: damaged, and begun again")
    return False


def _droppable(folder: Path) -> bool:
    """Whether nobody computes the array: whoever reads it keeps what is mapped, even of a deleted file."""
    return (folder / "values.npy").exists() or time.time() - folder.stat().st_mtime > _ABANDONED_S


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


def _gb(size: int) -> str:
    return f"{size / 1e9:.3g} GB"
