"""A training in the middle, kept: it goes on with the numbers that it would have had without the interruption."""

from __future__ import annotations

import hashlib
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, BinaryIO

import torch

from search.config import TrainConfig, is_config
from search.files import locations

State = dict[str, Any]

KEPT = 2
"""Checkpoints of a trial: the last, and the one before, should the last not be whole."""
OFTEN = 30.0
"""Seconds of training that may be lost; it is less where writing is cheap."""
SHARE = 0.05
"""The share of the training's time below which writing is cheap."""
_ENDING = ".checkpoint"


class Checkpoints:
    """The last checkpoints of one trial, in a folder of its own.

    A file is named after its epoch and its content's sha256, is complete when it has that name, and is read by torch's
    ``weights_only`` loader, which runs no code.
    """

    def __init__(self, folder: locations.Where, say: Callable[[str], None] | None = None) -> None:
        """`folder`: a path or a URL. `say`: called with one line when it cannot be written to or read from."""
        self._folder = folder
        self._say = say
        self._failed = False
        self._trained = 0.0
        self._cost: float | None = None

    def newest(self, config: TrainConfig) -> State | None:
        """The last state of `config`'s training that can be read whole; None if there is none."""
        with self._saying("no checkpoint to go on from"):
            self._place.delete(*(name for name in self._place.names() if name.endswith(".part")))
            for name in reversed(self._names()):
                with self._saying("a checkpoint cannot be read"):  # now; another time perhaps it can
                    state = self._read(name)
                    if state is not None and is_config(state.get("config"), config):
                        return state
                    self._place.delete(name)
        return None

    def after(self, epoch: int, seconds: float, state: Callable[[], State]) -> None:
        """Keep `state` after an epoch that took so many seconds, if it is time to."""
        self._trained += seconds
        if self._cost is None:
            self._cost = locations.expected(self._folder, _bytes(state()))
        cheap = self._cost <= SHARE * self._trained
        if not cheap and (self._failed or self._trained < OFTEN):
            return
        began, before, self._failed = time.perf_counter(), self._failed, True
        with self._saying("" if before else f"no checkpoint after epoch {epoch}, tried again later"):
            self._write(epoch, state())
            self._failed = False
        self._cost, self._trained = time.perf_counter() - began, 0.0

    @contextmanager
    def _saying(self, what: str) -> Iterator[None]:
        """Say, if `what` is not empty, what the folder could not do; training goes on without."""
        try:
            yield
        except OSError as error:
            if what and self._say is not None:
                self._say(f"{what}: {error}")

    @cached_property
    def _place(self) -> locations.Place:
        """Raises OSError."""
        return locations.place(self._folder)

    def _write(self, epoch: int, state: State) -> None:
        try:
            self._place.write(partial(_fill, epoch, state))
        except RuntimeError as error:  # torch's writer, when the disk is full
            raise OSError(str(error).splitlines()[0]) from None
        self._place.delete(*self._names()[:-KEPT])

    def _names(self) -> list[str]:
        return [name for name in self._place.names() if name.endswith(_ENDING)]

    def _read(self, name: str) -> State | None:
        """The state in a file, None if it is not what was written. Raises OSError."""
        with self._place.open(name) as content:
            if not name.endswith(f".{hashlib.file_digest(content, 'sha256').hexdigest()}{_ENDING}"):
                return None
            content.seek(0)
            try:
                state = torch.load(content, weights_only=True, map_location="cpu")
            except (RuntimeError, pickle.UnpicklingError, EOFError):
                return None
        return state if isinstance(state, dict) else None


def _fill(epoch: int, state: State, file: BinaryIO) -> str:
    """Write a state into a file; the file's name."""
    hashed = _Hashed(file)
    torch.save(state, hashed)  # type: ignore[arg-type] # write() and flush() are all that it takes
    return f"{epoch:06d}.{hashed.digest.hexdigest()}{_ENDING}"


def _bytes(value: Any) -> int:
    """Of all tensors in a state."""
    if isinstance(value, torch.Tensor):
        return value.nbytes
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return sum(map(_bytes, parts))


class _Hashed:
    """A file whose content is hashed as it is written."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return int(self._file.write(data))

    def flush(self) -> None:
        self._file.flush()
