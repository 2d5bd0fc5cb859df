"""The weights of a study's winner: runs/<study>/weights/<trial>.safetensors."""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from search.files import file_name


def place(study: str, trial: int) -> Path:
    """Where the weights of a trial lie, if they are kept."""
    return Path("runs") / file_name(study) / "weights" / f"{trial}.safetensors"


def sweep(study: str, spared: Collection[int]) -> None:
    """Delete the weights of all trials but the `spared`, and what a killed process left of them half written."""
    for path in place(study, 0).parent.glob("*"):
        number = re.match(r"\.?(\d+)\.safetensors", path.name)
        if number and int(number[1]) not in spared:
            with suppress(OSError):  # of a folder that is not ours to write to
                path.unlink()
