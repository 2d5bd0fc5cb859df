"""Workers that stall: no message has come from them for too long, whatever the reason is."""

from __future__ import annotations

import math
import time
from collections.abc import Collection

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
