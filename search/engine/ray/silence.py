"""Who has not been heard of for too long, whatever the reason is."""

from __future__ import annotations

import math
import time
from collections.abc import Collection

GRACE = 10.0
"""Seconds more than the worker itself waits for its training process, at most twice, before it says so."""


class Silence:
    """Follows workers that are asked for an epoch, by the names of what they work on.

    A worker gives its training process up after `patience` seconds and says so. One that does not even do that is
    stopped (SIGSTOP) itself, or hangs, or its node does.
    """

    def __init__(self, patience: float | None) -> None:
        """`patience`: seconds without a message; None: nobody is ever given up."""
        self._longest = math.inf if patience is None else 2 * patience + GRACE
        self._heard: dict[str, float] = {}

    def heard(self, name: str) -> None:
        """A message came."""
        self._heard[name] = time.monotonic()

    def overdue(self, at_work: Collection[str]) -> list[str]:
        """Who of those `at_work`, from whom all others have ended, has been silent for too long."""
        now = time.monotonic()
        self._heard = {name: self._heard.get(name, now) for name in at_work}
        return [name for name, heard in self._heard.items() if now - heard > self._longest]
