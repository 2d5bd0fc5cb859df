"""How many trials run side by side while workers are still being started."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 1.0
"""Seconds without a worker that came free, after which more are started at once."""
SLOW = 3.0
"""Seconds after which one more is started, although others come free all the time. A start costs as many of a core."""


class Lanes:
    """Starts no more workers at a time than there are CPUs, and none that shorter trials can do without.

    Each worker is a process of Ray's that imports Ray first. Started all at once, 32 of them keep two cores busy for a
    minute, in which those that are ready hardly get to train.
    """

    def __init__(self, most: Callable[[], int], cpus: int, now: Callable[[], float] = time.monotonic) -> None:
        """`most`: how many trials fit at a time."""
        self._most, self._cpus, self._now = most, max(1, cpus), now
        self._open = 0
        self._waiting: set[str] = set()
        self._freed = self._grown = now()

    def asks(self, name: str) -> None:
        """A trial of that name waits for a worker."""
        self._waiting.add(name)

    def works(self, name: str) -> None:
        """The trial has reported: it has a worker."""
        self._waiting.discard(name)

    def ended(self, name: str) -> None:
        """The trial has ended, and its worker is free."""
        self._waiting.discard(name)
        self._freed = self._now()

    def open(self, active: int) -> int:
        """How many trials may run at a time now, where `active` run or wait for a worker."""
        most, now = self._most(), self._now()
        if active >= self._open and len(self._waiting) < self._cpus:
            idle = now - self._freed > PATIENCE or self._open < self._cpus
            if idle or now - self._grown > SLOW:
                self._grown = now
                self._open += self._cpus - len(self._waiting) if idle else 1
        self._open = min(self._open, most)
        return self._open
