"""Which validation images a trial named right: one bit an image, in runs/<study>/correct/<trial>.npy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.files.atomic import file_name, write_whole


def place(study: str, trial: int) -> Path:
    """Where the bits of a trial lie."""
    return Path("runs") / file_name(study) / "correct" / f"{trial}.npy"


def write(study: str, trial: int, right: bytes) -> None:
    """Keep `right`, one byte an image (1 right, 0 wrong), as packed bits."""
    bits = np.packbits(np.frombuffer(right, dtype=np.uint8))

    def save(part: Path) -> None:
        with part.open("wb") as file:  # np.save puts an ending to a name that has none
            np.save(file, bits)

    write_whole(place(study, trial), save)


def read(study: str, trial: int, count: int, right: int) -> NDArray[np.uint8] | None:
    """The packed bits (ceil(`count` / 8),) of a trial that named `right` of `count` images right.

    None if they are not there, or are another trial's: a study may be made anew under its name.
    """
    try:
        bits = np.load(place(study, trial))
    except (OSError, ValueError, EOFError):
        return None
    fits = bits.dtype == np.uint8 and bits.shape == (-(-count // 8),)
    return bits if fits and int(np.bitwise_count(bits).sum(dtype=np.int64)) == right else None
