"""What trials leave beside their numbers: the winner's weights, and checkpoints of those in training.

<run dir>/<study>/weights/<trial>.safetensors and <run dir>/<study>/checkpoints/<trial>/. The run dir is `runs` unless
`--run-dir` names another: one that several machines share, so that a trial goes on where any of them left it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from search.files import locations
from search.files.atomic import file_name
from search.files.locations import Where

RUNS = Path("runs")


def place(study: str, trial: int, runs: Where = RUNS) -> Where:
    """Where the weights of a trial lie, if they are kept."""
    return locations.under(runs, file_name(study), "weights", f"{trial}.safetensors")


def sweep(study: str, spared: Callable[[], Collection[int]], runs: Where = RUNS) -> None:
    """Delete the weights of all trials but the `spared`, and what a killed process left of them half written.

    `spared` is asked once it is known what is there.
    """
    with suppress(OSError):  # of a folder that is not ours to write to, or a network that is away
        weights = locations.place(locations.under(runs, file_name(study), "weights"))
        found = [(name, re.match(r"\.?(\d+)\.safetensors", name)) for name in weights.names()]
        left = set(spared())
        weights.delete(*(name for name, number in found if number and int(number[1]) not in left))


def checkpoints(study: str, trial: int, runs: Where = RUNS) -> Where:
    """The folder of a trial's checkpoints."""
    return locations.under(runs, file_name(study), "checkpoints", str(trial))


def drop_checkpoints(study: str, trials: Collection[int], runs: Where = RUNS) -> None:
    """Delete the checkpoints of trials that have ended."""
    with suppress(OSError):
        folders = locations.place(locations.under(runs, file_name(study), "checkpoints"))
        for name in folders.names():
            if name.isdigit() and int(name) in trials:
                folders.delete_folder(name)
