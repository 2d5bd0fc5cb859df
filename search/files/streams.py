"""Standard output and error: the command's own, and what the code of a space file sees of them."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

NAMES = ("stdout", "stderr")


class _Lasting(io.FileIO):
    """The write end of a stream whose reader may go away, as in ``search run space.py | head``."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno(), inheritable=False)
            os.close(nowhere)
            with suppress(OSError):
                print("search: the reader of what is printed is gone; the training goes on", file=sys.stderr)
            return memoryview(data).nbytes


def outlast() -> None:
    """Give this process streams that no code ends: none that redirects or closes its own, and no reader that leaves.

    They lead where the old ones lead now, through file descriptors that nobody else knows. Streams that another
    program has put in their place stay.
    """
    for name, number in zip(NAMES, (1, 2), strict=True):
        there = getattr(sys, name)
        if there is getattr(sys, f"__{name}__") and isinstance(there, io.TextIOWrapper):
            there.flush()
            raw = io.BufferedWriter(_Lasting(os.dup(number), "wb"))
            lines = there.line_buffering or there.write_through  # write_through: as `python -u` has it
            made = io.TextIOWrapper(raw, encoding=there.encoding, errors=there.errors, line_buffering=lines)
            setattr(sys, name, made)


class Theirs:
    """A stream of the user's code: it writes to ours, and may be closed, wrapped and replaced as a script's may."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.closed = False

    @property
    def _ours(self) -> IO[str]:
        found: IO[str] = getattr(sys, self._name) if _inside is None else _inside[NAMES.index(self._name)]
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ours, name)

    def write(self, text: str) -> int:
        """Write as the stream that it stands for does. Raises ValueError if it was closed."""
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        return self._ours.write(text)

    def fileno(self) -> int:
        """The process's own descriptor, 1 or 2: what is redirected there is no business of ours."""
        self._ours.fileno()  # a notebook's has none
        return 1 + NAMES.index(self._name)

    def close(self) -> None:
        """Write nothing more; the stream that it stands for stays open."""
        if not self.closed:
            self._ours.flush()
        self.closed = True


_inside: tuple[Any, ...] | None = None
"""Our streams, while code of the user's runs."""
_theirs: tuple[Any, ...] = ()
"""The streams that the user's code had when it ran last."""


@contextmanager
def theirs() -> Iterator[None]:
    """Code of the user's runs inside, with the streams that it had before; outside, ours are as they were."""
    global _inside, _theirs
    if _inside is not None:
        yield
        return
    _inside = ours = (sys.stdout, sys.stderr)
    fresh = [Theirs(name) if stream is not None else None for name, stream in zip(NAMES, ours, strict=True)]
    sys.stdout, sys.stderr = _theirs or fresh
    try:
        yield
    finally:
        _theirs = (sys.stdout, sys.stderr)
        sys.stdout, sys.stderr = ours
        _inside = None


def kept() -> tuple[Any, ...]:
    """The streams that the user's code has now, for `give`."""
    return _theirs


def give(streams: tuple[Any, ...] = ()) -> None:
    """Let the user's code go on with `streams`, of which those that it has not replaced are fresh."""
    global _theirs
    _theirs = tuple(
        Theirs(name) if isinstance(stream, Theirs) else stream for name, stream in zip(NAMES, streams, strict=False)
    )
