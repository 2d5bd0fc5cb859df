"""Why a trial failed: one line, whose first word is one of seven classes; and what ends the whole run."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.errors import SearchError, first_line

CLASSES = ("oom", "diverged", "bad_data", "timeout", "node_lost", "stopped", "user_code")
"""The first words of a trial's stored `error`. `user_code`: what the space, its train() or its model raised."""

_OOM = ("out of memory", "allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""Where CUDA's libraries run out of memory, torch raises a RuntimeError; only its allocator has a class of its own."""
_OURS = Path(__file__).parents[1]
_DATA = _OURS / "data"
_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


class RunAborted(SearchError):
    """The run is plainly broken: so many trials failed in a row, or the space file's sampler or pruner raised."""

    exit_status = 1


def breaks_gpu(error: BaseException) -> bool:
    """Whether a process that raised `error` can use its GPU no more: after a failed assertion all of its calls fail."""
    text = first_line(error)
    return isinstance(error, RuntimeError) and "CUDA error" in text and not any(word in text for word in _OOM)


def deaths(times: int, how: str = "") -> str:
    """Why a trial failed whose worker died so often, the last time by `how`."""
    last = f", the last time by {how}" if how else ""
    return f"node_lost: its worker process died {times} times{last}"


def unmeasured(metric: str, epoch: Mapping[str, Any], place: str = "") -> str:
    """Why an epoch's metric is no number: it is missing, or something else. `place`: where it was yielded."""
    if metric not in epoch:
        given = ", ".join(name for name in epoch if name != "seconds") or "an empty dict"
        return f"user_code: {place}the metric {metric!r} is missing from what train() yields: {given}"
    value = epoch[metric]
    what = "None" if value is None else f"the {type(value).__name__} {value!r:.50}"
    return f"user_code: {place}train() yields {what} as the metric {metric!r}, which must be a number"


def kind(reason: str) -> str:
    """The class that a reason begins with; empty for a reason that an earlier version wrote."""
    word = reason.partition(":")[0]
    return word if word in CLASSES else ""


def reason(error: BaseException) -> str:
    """Why a trial raised `error`: its class, the line of the user's code that it came from, and its message."""
    text = first_line(error)
    text = type(error).__name__ if text == "no message" else text
    if type(error).__name__ == "Diverged":
        return f"diverged: {text}"
    if isinstance(error, MemoryError) or any(word in text for word in _OOM):
        return f"oom: {text}; a smaller batch_size may fit"
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, StopIteration):  # PEP 479
        error, text = error.__cause__, "next() of an iterator that has ended"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_INSTALLED)]
    if isinstance(error, SearchError):
        from_data = bool(frames) and _DATA in Path(frames[-1].filename).parents
        return f"{'bad_data' if from_data else 'user_code'}: {text}"
    theirs = [frame for frame in frames if _OURS not in Path(frame.filename).parents] or frames
    where = f"{Path(theirs[-1].filename).name}:{theirs[-1].lineno}: " if theirs else ""
    line = f"{theirs[-1].line}: " if theirs and theirs[-1].line else ""
    what = text if text == type(error).__name__ else f"{type(error).__name__}: {text}"
    return f"user_code: {where}{line}{what}"
