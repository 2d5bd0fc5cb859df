"""How many trials run side by side while workers are still being started."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

SHORT = 1.0
"""Seconds. Trials that take longer, or end more seldom, get more workers at once."""
SLOW = 10.0
"""Seconds after which shorter trials get one worker more. Its start costs three seconds of a core."""


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
        self._began: dict[str, float] = {}
        self._took: deque[float] = deque(maxlen=8)
        self._freed = self._grown = now()

    def asks(self, name: str) -> None:
        """A trial of that name waits for a worker."""
        self._waiting.add(name)

    def works(self, name: str) -> None:
        """The trial has reported: it has a worker."""
        self._waiting.discard(name)
        self._began.setdefault(name, self._now())

    def ended(self, name: str) -> None:
        """The trial has ended, and its worker is free."""
        self._waiting.discard(name)
        self._freed = self._now()
        self._took.append(self._freed - self._began.pop(name, self._freed))

    def open(self, active: int) -> int:
        """How many trials may run at a time now, where `active` run or wait for a worker."""
        most, now = self._most(), self._now()
        if active >= self._open and len(self._waiting) < self._cpus:
            took = sum(self._took) / len(self._took) if self._took else 0.0
            worth_it = max(took, now - self._freed) > SHORT or self._open < self._cpus
            if worth_it or now - self._grown > SLOW:
                self._grown = now
                self._open += self._cpus - len(self._waiting) if worth_it else 1
        self._open = min(self._open, most)
        return self._open
