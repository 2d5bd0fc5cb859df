"""Why a trial failed: one line, whose first word is one of seven classes; and what ends the whole run."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.errors import SearchError, first_line, one_line, option
from search.format import plural

CLASSES = ("oom", "diverged", "bad_data", "timeout", "node_lost", "stopped", "user_code")
"""The first words of a trial's stored `error`. `user_code`: what the space, its train() or its model raised."""

_OOM = ("out of memory", "allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""Where CUDA's libraries run out of memory, torch raises a RuntimeError; only its allocator has a class of its own."""
_OURS = Path(__file__).parents[1]
_DATA = _OURS / "data"
_INSTALLED = tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_PACKAGES = {"site-packages", "dist-packages"}
"""Folders of installed packages, of whatever environment."""


class RunAborted(SearchError):
    """The run is plainly broken: so many trials failed in a row, or the space file's sampler or pruner raised."""

    exit_status = 1


class NeverMeasured(RunAborted):
    """The first trial's training does not yield the metric, so that no trial is likely to have it."""

    exit_status = 2


_MISSING = "is missing from what train() yields"


def check_sense(reason: str, ended: int, in_row: int, most: int) -> None:
    """Raise RunAborted if, after a trial failed for that `reason`, more trials make no sense.

    `ended`: the trials of the study that have ended; `in_row`: the last so many of them failed, but did not diverge;
    `most`: so many in a row end the run; 0: never.
    """
    if _MISSING in reason and ended == 1:
        raise NeverMeasured(f"the first trial failed, and others would: {reason}")
    if 0 < most <= in_row:
        said = f"{plural(in_row, 'trial')} in a row failed ({option('max_failures')})"
        raise RunAborted(f"{said}, the last: {reason}")


def breaks_gpu(error: BaseException) -> bool:
    """Whether a process that raised `error` can use its GPU no more: after a failed assertion all of its calls fail."""
    text = first_line(error)
    return isinstance(error, RuntimeError) and "CUDA error" in text and not any(word in text for word in _OOM)


def deaths(times: int, how: str = "") -> str:
    """Why a trial failed whose worker died so often, the last time by `how`."""
    last = f", the last time by {how}" if how else ""
    return f"node_lost: its worker process died {plural(times, 'time')}{last}"


def closing(trial: int, raised: str) -> str:
    """What the user reads where the code of the train() of `trial` has `raised` something while it was closed."""
    return f"trial {trial}: closing its train(): {raised}"


def unmeasured(metric: str, epoch: Mapping[str, Any], place: str = "") -> str:
    """Why an epoch's metric is no number: it is missing, or something else. `place`: where it was yielded."""
    if metric not in epoch:
        given = ", ".join(name for name in epoch if name != "seconds") or "an empty dict"
        return f"user_code: {place}the metric {metric!r} {_MISSING}: {given}"
    value = epoch[metric]
    what = "None" if value is None else f"the {type(value).__name__} {value!r:.50}"
    return f"user_code: {place}train() yields {what} as the metric {metric!r}, which must be a number"


def kind(reason: str) -> str:
    """The class that a reason begins with; empty for a reason that an earlier version wrote."""
    word = reason.partition(":")[0]
    return word if word in CLASSES else ""


def reason(error: BaseException, place: str = "") -> str:
    """Why a trial raised `error`: its class, the line of the user's code that it came from, and its message.

    `place`: what to name instead where no line of the user's code is to blame.
    """
    name, text, said = type(error).__name__, first_line(error), one_line(error)
    text = name if text == "no message" else text
    if name == "Diverged":
        return f"diverged: {text}"
    if isinstance(error, MemoryError) or any(word in text for word in _OOM):
        return f"oom: {text}; a smaller batch may fit"
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, StopIteration):  # PEP 479
        error, name, said = error.__cause__, "StopIteration", "next() of an iterator that has ended"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _installed(frame.filename)]
    if isinstance(error, SearchError):
        from_data = bool(frames) and _DATA in Path(frames[-1].filename).parents
        return f"{'bad_data' if from_data else 'user_code'}: {text}"
    what = name if said in (name, "no message") else f"{name}: {said}"
    ours = [frame for frame in frames if _OURS in Path(frame.filename).parents]
    theirs = [frame for frame in frames if frame not in ours]
    if theirs:
        frame = next((frame for frame in reversed(theirs) if not frame.filename.startswith("<")), theirs[-1])
        line = f"{frame.line}: " if frame.line else ""
        return f"user_code: {Path(frame.filename).name}:{frame.lineno}: {line}{what}"
    if place:
        return f"user_code: {place}: {what}"
    if ours:  # which is no line that the user could mend
        return f"user_code: {what} (at {Path(ours[-1].filename).relative_to(_OURS.parent)}:{ours[-1].lineno})"
    return f"user_code: {what}"


def _installed(file: str) -> bool:
    """Whether the code of a frame is Python's own or an installed package's, and so not the user's."""
    return file.startswith((*_INSTALLED, "<frozen ")) or not _PACKAGES.isdisjoint(Path(file).parts)
