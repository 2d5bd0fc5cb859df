"""Arrays on disk that are what was written: shape, type, length and checksums stand beside them.

The checksum is zlib's CRC-32, of each block of rows. It finds every flipped bit and every torn end. It is no protection
against somebody who means harm.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from search.files.atomic import write_text

BLOCK = 512
"""Rows under one checksum."""


class Damaged(Exception):
    """Why a file is not what was written."""


def _to_stderr(line: str) -> None:
    print(f"search: {line}", file=sys.stderr, flush=True)


_HEARD: ContextVar[Callable[[str], None]] = ContextVar("heard", default=_to_stderr)


@contextmanager
def heard(say: Callable[[str], None]) -> Iterator[None]:
    """Within, `say` is called with each line of `tell`. Elsewhere, the line goes to standard error."""
    token = _HEARD.set(say)
    try:
        yield
    finally:
        _HEARD.reset(token)


def tell(line: str) -> None:
    """Tell the user that something kept was damaged and is made again."""
    _HEARD.get()(line)


def checksum(rows: NDArray[Any]) -> int:
    """The CRC-32 of a block of rows, whatever its strides."""
    return zlib.crc32(np.ascontiguousarray(rows).view(np.uint8).data)


def describe(array: NDArray[Any]) -> dict[str, Any]:
    """What `opened` compares the file of `array` with, as JSON takes it."""
    sums = [checksum(array[first : first + BLOCK]) for first in range(0, len(array), BLOCK)]
    return {"shape": list(array.shape), "dtype": array.dtype.str, "crc32": sums}


_SOUND: set[tuple[str, int, int, int]] = set()
"""Path, inode, size and time of the files whose checksums this process has compared."""


def opened(path: Path, about: Any, mode: Literal["r", "c"] = "r") -> NDArray[Any]:
    """The array in `path`, memory-mapped, if it is the one that `about` describes.

    A process compares the checksums of a file once, and its length each time. Raises Damaged, and OSError if the file
    cannot be opened.
    """
    seen = path.stat()
    try:
        array: np.memmap[Any, Any] = np.lib.format.open_memmap(path, mode)
    except PermissionError:
        raise
    except Exception as error:  # NumPy parses the header as Python, and may raise anything
        raise Damaged(f"no array ({type(error).__name__})") from None
    shape, kind, sums = about["shape"], about["dtype"], about["crc32"]
    if (list(array.shape), array.dtype.str) != (shape, kind):
        raise Damaged(f"{array.dtype} {array.shape}, not {np.dtype(kind)} {tuple(shape)}")
    if seen.st_size != array.offset + array.nbytes:
        raise Damaged(f"{seen.st_size} bytes, not {array.offset + array.nbytes}")
    known = (str(path), seen.st_ino, seen.st_size, seen.st_mtime_ns)
    if known not in _SOUND:
        found = describe(array)["crc32"]
        for block, (one, other) in enumerate(zip(found, sums, strict=True)):
            if one != other:
                raise Damaged(f"the checksum of rows {block * BLOCK} to {(block + 1) * BLOCK - 1} differs")
        _SOUND.add(known)
    return array


def write_record(path: Path, content: Any) -> None:
    """Keep `content`, which JSON takes, as a line with its CRC-32 and a line of JSON; whole or not at all."""
    text = json.dumps(content)
    write_text(path, f"{_sum(text)}\n{text}")


def read_record(path: Path) -> Any:
    """What `write_record` kept. Raises Damaged if it is something else, and OSError if it cannot be read."""
    try:
        found, _, text = path.read_bytes().decode().partition("\n")
        content = json.loads(text)
    except ValueError:
        raise Damaged("no record") from None
    if found != _sum(text):
        raise Damaged("the checksum differs")
    return content


def _sum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
