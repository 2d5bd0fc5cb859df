"""A training in the middle, on disk: it goes on with the numbers that it would have had without the interruption."""

from __future__ import annotations

import hashlib
import os
import pickle
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from search.config import TrainConfig

State = dict[str, Any]

KEPT = 2
"""Checkpoints of a trial: the last, and the one before, should the last not be whole."""
OFTEN = 30.0
"""Seconds of training that may be lost; it is less where writing is cheap."""
SHARE = 0.05
"""The share of the training's time below which writing is cheap."""
_ENDING = ".checkpoint"
_LEAST, _SPEED = 0.01, 200e6
"""What the first is expected to cost: seconds, and bytes a second. From then on it is known."""


class Checkpoints:
    """The last checkpoints of one trial, in a folder of its own.

    A file is named after its epoch and its content's sha256, is complete when it has that name, and is read by torch's
    ``weights_only`` loader, which runs no code.
    """

    def __init__(self, folder: Path, say: Callable[[str], None] | None = None) -> None:
        """`say`: called with one line when the disk gives up, after which nothing more is written."""
        self.folder = folder
        self._say = say
        self._on = True
        self._trained = 0.0
        self._cost: float | None = None

    def newest(self, config: TrainConfig) -> State | None:
        """The last state of `config`'s training that can be read whole; None if there is none."""
        for part in self.folder.glob(".*.part"):
            part.unlink(missing_ok=True)
        for file in reversed(self._files()):
            state = _read(file)
            if state is not None and state.get("config") == config.model_dump_json():
                return state
            file.unlink(missing_ok=True)
        return None

    def after(self, epoch: int, seconds: float, state: Callable[[], State]) -> None:
        """Keep `state` after an epoch that took so many seconds, if it is time to."""
        self._trained += seconds
        if self._cost is None:
            self._cost = _LEAST + _bytes(state()) / _SPEED
        if not self._on or (self._trained < OFTEN and self._cost > SHARE * self._trained):
            return
        began = time.perf_counter()
        try:
            self._write(epoch, state())
        except OSError as error:
            self._on = False
            if self._say is not None:
                self._say(f"no checkpoints from epoch {epoch} on: {error}")
        self._cost, self._trained = time.perf_counter() - began, 0.0

    def _write(self, epoch: int, state: State) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f".{os.getpid()}.part"
        try:
            with part.open("wb") as file:
                hashed = _Hashed(file)
                torch.save(state, hashed)  # type: ignore[arg-type] # write() and flush() are all that it takes
                file.flush()
                os.fsync(file.fileno())
            part.rename(self.folder / f"{epoch:06d}.{hashed.digest.hexdigest()}{_ENDING}")
        except RuntimeError as error:  # torch's writer, when the disk is full
            raise OSError(str(error).splitlines()[0]) from None
        finally:
            part.unlink(missing_ok=True)
        _sync(self.folder)
        for old in self._files()[:-KEPT]:
            old.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(f"*{_ENDING}"))


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


def _read(file: Path) -> State | None:
    """The state in a file, None if it is not what was written or cannot be read."""
    try:
        with file.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != file.name.split(".")[1]:
                return None
        state = torch.load(file, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, IndexError):
        return None
    return state if isinstance(state, dict) else None


def _sync(folder: Path) -> None:
    """Have the folder's names on the disk."""
    with suppress(OSError):  # not every file system can
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
