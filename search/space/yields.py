"""What a train() of the space file yields, as the record keeps it; where in the user's file it does so; its end."""

from __future__ import annotations

import inspect
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any

from search.errors import SearchError, first_line


def unlike_generator(returned: Any) -> str:
    """Why what a train() returned cannot be drawn epoch by epoch; empty if it can."""
    if isinstance(returned, Mapping):
        return "train() returned a dict where it must yield one an epoch: write `yield` for `return`"
    if inspect.iscoroutine(returned) or inspect.isasyncgen(returned):
        if inspect.iscoroutine(returned):
            returned.close()  # otherwise Python warns of it later
        return "train() is an async function, which nothing awaits here: write `def train(config)`"
    if not isinstance(returned, Iterable):
        kind = "None" if returned is None else _kind(returned)
        return f"train() returned {kind}; it must yield a dict an epoch"
    return ""


def place_of(code: Any) -> str:
    """File and line where a generator stands, or where a function begins, before a message; empty if unknown."""
    while inspect.isgenerator(inner := getattr(code, "gi_yieldfrom", None)):
        code = inner
    if (frame := getattr(code, "gi_frame", None)) is not None:
        return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}: "
    function = getattr(code, "__code__", None)
    return f"{Path(function.co_filename).name}:{function.co_firstlineno}: " if inspect.iscode(function) else ""


def close(returned: object, left: list[str]) -> None:
    """Close what a train() returned, if that can be closed. Raises what its code raises.

    A generator that yields again is `left` where it stands, with a line about it. Python closes each that nobody holds,
    and prints a traceback for one that yields again: so this one is held until its process ends.
    """
    inner, there = [returned], returned
    while inspect.isgenerator(there) and inspect.isgenerator(there := there.gi_yieldfrom):
        inner.append(there)
    try:
        if callable(ending := getattr(returned, "close", None)):
            ending()
    finally:
        for generator in inner:
            if inspect.isgenerator(generator) and generator.gi_frame is not None:
                import ctypes

                left.append(_yields_again(generator))
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(generator))


@contextmanager
def left_open() -> Iterator[list[str]]:
    """A list of lines for `close`, to which those of further generators come, such as the one of a for loop."""
    left: list[str] = []
    before = sys.unraisablehook

    def hook(found: sys.UnraisableHookArgs) -> None:
        if inspect.isgenerator(found.object) and "ignored GeneratorExit" in str(found.exc_value):
            left.append(_yields_again(found.object))
        else:
            before(found)

    sys.unraisablehook = hook
    try:
        yield left
    finally:
        sys.unraisablehook = before


def _yields_again(generator: object) -> str:
    said = "is closed and yields again, so it is left there: let GeneratorExit pass, and yield nothing in a `finally`"
    return f"{place_of(generator)}it {said}"


def measured_in(epoch: Any, place: str) -> dict[str, Any]:
    """What the user's train() yielded at `place`, as plain numbers and texts. Raises SearchError."""
    if not isinstance(epoch, Mapping):
        said = f"train() yielded {_kind(epoch)}; it must yield a dict such as {{'score': 0.5}}"
        raise SearchError(place + said)
    plain: dict[str, Any] = {}
    for name, value in epoch.items():
        if not isinstance(name, str):
            said = f"train() yields the key {name!r:.50}, {_kind(name)}; a key is a text, such as 'score'"
            raise SearchError(place + said)
        try:
            plain[name] = _plain(value)
            json.dumps({name: plain[name]})
            float(plain[name] if isinstance(plain[name], int) else 0)
        except Exception as error:  # a user's class may raise anything
            said = f"train() yielded {name!r} as {_kind(value)} that the record cannot take"
            raise SearchError(f"{place}{said} ({first_line(error)}); give it a number or a text") from None
        if name == "seconds" and not _duration(plain[name]):
            said = f"train() yields {plain[name]!r:.50} as 'seconds', the time that the step took"
            raise SearchError(f"{place}{said}; give it a number of seconds without a unit, 0 or more")
    return plain


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _duration(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf


def _plain(value: Any) -> Any:
    """A number of NumPy or torch as a Python number, which JSON takes."""
    if isinstance(value, Real) and not isinstance(value, (bool, int)):
        return float(value)
    return value.item() if hasattr(value, "item") else value
