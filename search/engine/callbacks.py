"""Who watches a run: told of each epoch at once, and of a trial's end when no worker waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from operator import methodcaller
from typing import Protocol

from optuna.trial import TrialState

from search.engine.trial import ActiveTrial

LATE = 2.0
"""Seconds after which a trial's end is told, although workers wait for the driver."""


class Callback(Protocol):
    """Watches a run: the live view, TensorBoard. It is told of an end when the next trial is on its way."""

    def on_epoch(self, trial: ActiveTrial) -> None: ...
    def on_end(self, trial: ActiveTrial, state: TrialState, reason: str) -> None: ...


class Callbacks:
    """The callbacks of a run. If one cannot write (a full disk), the user is told once; the storage is the record."""

    def __init__(self, callbacks: Sequence[Callback], say: Callable[[str], None]) -> None:
        """`say`: called with one line for the user."""
        self.callbacks = callbacks
        self._say = say
        self._failing: list[Callback] = []
        self._ended: list[tuple[ActiveTrial, TrialState, str]] = []
        """Trials whose end they have not heard of yet."""
        self._since = 0.0
        """When the first of them ended."""

    def epoch(self, trial: ActiveTrial) -> None:
        """Tell of an epoch."""
        self._tell(methodcaller("on_epoch", trial))

    def end(self, trial: ActiveTrial, state: TrialState, reason: str) -> None:
        """Tell of a trial's end, later."""
        self._since = self._since if self._ended else time.monotonic()
        self._ended.append((trial, state, reason))

    def keep_up(self) -> None:
        """Tell of the trials that ended, if the first of them has waited for too long."""
        if self._ended and time.monotonic() - self._since > LATE:
            self.catch_up()

    def catch_up(self) -> None:
        """Tell of the trials that ended."""
        while self._ended:
            self._tell(methodcaller("on_end", *self._ended.pop(0)))

    def _tell(self, what: Callable[[Callback], object]) -> None:
        for callback in self.callbacks:
            try:
                what(callback)
            except BrokenPipeError:  # of the terminal
                raise
            except OSError as error:
                if callback not in self._failing:
                    self._failing.append(callback)
                    self._say(f"{error}; the run goes on without what it cannot write")
