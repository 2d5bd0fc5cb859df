"""What befalls files on a disk, to be done to a file of a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def _flip(where: float) -> Callable[[Path], object]:
    """Flip one bit, so far into the file."""

    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(where * (len(content) - 1))] ^= 4
        path.write_bytes(content)

    return flip


DAMAGE: dict[str, Callable[[Path], object]] = {
    "flipped at the start": _flip(0.0),
    "flipped in the header": _flip(0.01),
    "flipped in the middle": _flip(0.5),
    "flipped at the end": _flip(1.0),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "too long": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),  # as a torn write leaves them
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"\x93NUMPY\x01\0" + b"(garbage " * 100),
    "a zip": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)),
    "gone": Path.unlink,
}
"""Name to what does it."""
