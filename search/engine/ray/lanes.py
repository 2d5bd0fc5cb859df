"""Ray's workers in a run: how many are started, and which have stalled."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Collection

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
        """The trial has a worker, whether it has reported or not: its first epoch may take hours."""
        self._waiting.discard(name)
        self._began.setdefault(name, self._now())

    def ended(self, name: str) -> None:
        """The trial has ended, and its worker is free."""
        self._waiting.discard(name)
        self._freed = self._now()
        self._took.append(self._freed - self._began.pop(name, self._freed))

    def look(self) -> None:
        """Ask how many trials fit: a cluster's nodes are looked at only when somebody asks."""
        self._most()

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


QUICK = 0.005
"""Seconds. A report that came sooner than this, once the driver waited for one, had been waiting itself."""
BEHIND = 16
"""So many such reports in a row: more are waiting."""
AMONG = 32
"""With so few trials at a time, so many reports never wait."""
PAUSE = 0.25
"""Seconds. A driver that is behind still asks for a trial once in so long."""


class Backlog:
    """Tells when many reports wait for the driver. What was trained is then stored before new trials begin.

    A question to the sampler takes as long as several reports. When hundreds of trials come to a rung of the pruner at
    once and half of them end, each question would keep the other reports waiting.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._since: float | None = None
        """When the driver began to wait for a report, if none has come since."""
        self._in_row, self._asked = 0, now()

    def waits(self) -> None:
        """The driver has nothing else to do than to wait for a report."""
        if self._since is not None:  # none came
            self._in_row = 0
        self._since = self._now()

    def came(self) -> None:
        """A report came."""
        at_once = self._since is not None and self._now() - self._since < QUICK
        self._in_row, self._since = self._in_row + 1 if at_once else 0, None

    def puts_off(self, active: int) -> bool:
        """Whether a new trial has to wait, where `active` run."""
        now = self._now()
        if self._in_row >= BEHIND and active > AMONG and now - self._asked < PAUSE:
            return True
        self._asked = now
        return False


GRACE = 10.0
"""Extra seconds. The worker itself waits for its training process, at most three times, before it reports."""


class Stall:
    """Finds stalled workers among those that are asked for an epoch. Each has the name of its trial.

    A worker gives up its training process after `patience` seconds, and reports that. A worker without such a report
    is stopped (SIGSTOP) itself, or it hangs, or its node hangs.
    """

    def __init__(self, patience: float | None) -> None:
        """`patience`: seconds without a message. None: no worker is ever given up."""
        self._longest = math.inf if patience is None else 3 * patience + GRACE
        self._heard: dict[str, float] = {}

    def heard(self, name: str) -> None:
        """A message came."""
        self._heard[name] = time.monotonic()

    def overdue(self, at_work: Collection[str]) -> list[str]:
        """The names of those `at_work` that have been silent for too long. All other workers have ended."""
        now = time.monotonic()
        self._heard = {name: self._heard.get(name, now) for name in at_work}
        return [name for name, heard in self._heard.items() if now - heard > self._longest]
