"""What trials leave on disk beside their numbers: the winner's weights, and checkpoints of those in training.

<run dir>/<study>/weights/<trial>.safetensors and <run dir>/<study>/checkpoints/<trial>/. The run dir is `runs` unless
`--run-dir` names another: one that several machines share, so that a trial goes on where any of them left it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from search.files import file_name

RUNS = Path("runs")


def place(study: str, trial: int, runs: Path = RUNS) -> Path:
    """Where the weights of a trial lie, if they are kept."""
    return runs / file_name(study) / "weights" / f"{trial}.safetensors"


def sweep(study: str, spared: Collection[int], runs: Path = RUNS) -> None:
    """Delete the weights of all trials but the `spared`, and what a killed process left of them half written."""
    for path in place(study, 0, runs).parent.glob("*"):
        number = re.match(r"\.?(\d+)\.safetensors", path.name)
        if number and int(number[1]) not in spared:
            with suppress(OSError):  # of a folder that is not ours to write to
                path.unlink()


def checkpoints(study: str, trial: int, runs: Path = RUNS) -> Path:
    """The folder of a trial's checkpoints."""
    return runs / file_name(study) / "checkpoints" / str(trial)


def drop_checkpoints(study: str, trials: Collection[int], runs: Path = RUNS) -> None:
    """Delete the checkpoints of trials that have ended."""
    for folder in checkpoints(study, 0, runs).parent.glob("*"):
        if folder.name.isdigit() and int(folder.name) in trials:
            shutil.rmtree(folder, ignore_errors=True)
