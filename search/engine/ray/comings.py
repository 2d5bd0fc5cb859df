"""Nodes of a cluster that come and go during a run: one line for each, with the trials that ran there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_LATE = 120.0
"""Seconds in which Ray learns that a node is gone whose workers are."""


@dataclass(frozen=True)
class Seen:
    """A node that is there: what the user calls it, and how many trials fit on it."""

    address: str
    places: int


class Comings:
    """Says which nodes came, went and came back since the last look. The first look says nothing."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """`say`: called with one line for the user."""
        self.say = say
        self._there: dict[str, Seen] | None = None
        self._went: set[str] = set()
        self._places: dict[int, str] = {}
        self._lost: dict[int, tuple[str, float]] = {}

    def runs(self, trial: int, node: str) -> None:
        """The trial of that number has reported from the node with the id `node`."""
        self._places[trial] = node

    def lost(self, trial: int) -> None:
        """The trial's worker is gone. Ray may learn only later that its whole node is."""
        if (node := self._places.pop(trial, None)) is not None:
            self._lost[trial] = node, time.monotonic()

    def ended(self, trial: int) -> None:
        """The trial has ended, whatever becomes of its node."""
        self._places.pop(trial, None)
        self._lost.pop(trial, None)

    def look(self, nodes: Mapping[str, Seen]) -> None:
        """Compare the `nodes` that are there, by their ids, with those of the last look."""
        before, self._there = self._there, dict(nodes)
        if before is None:
            return
        for node, seen in before.items():
            if node not in nodes:
                self._went.add(seen.address)
                self.say(f"node {seen.address} lost; {self._back_from(node)}")
        for node, seen in nodes.items():
            if node not in before:
                again = seen.address in self._went or seen.address in {other.address for other in before.values()}
                word = "is back" if again else "joined"
                self.say(f"node {seen.address} {word}; trials that fit there: {seen.places}")

    def _back_from(self, node: str) -> str:
        now = time.monotonic()
        gone = [trial for trial, (place, since) in self._lost.items() if place == node and now - since < _LATE]
        gone = sorted({*gone, *(trial for trial, place in self._places.items() if place == node)})
        self._lost = {trial: at for trial, at in self._lost.items() if at[0] != node}
        for trial in gone:
            if self._places.get(trial) == node:
                del self._places[trial]
        if not gone:
            return "what ran there goes back in the queue"
        if len(gone) == 1:
            return f"trial {gone[0]} goes back in the queue"
        return f"trials {', '.join(map(str, gone[:-1]))} and {gone[-1]} go back in the queue"
