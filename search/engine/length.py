"""How often a train() of the space file yields, and what its setting `epochs` says about that."""

from __future__ import annotations

import math
from collections.abc import Callable

from search.engine.trial import ActiveTrial


class Lengths:
    """Compares the yields of each trial with its setting `epochs`, which ends nothing, and tells the user once."""

    def __init__(self, own: bool, say: Callable[[str], None]) -> None:
        """`own`: whether the space file has its own train(). `say`: called with one line for the user."""
        self._own, self._say = own, say
        self._said = False

    def reached(self, job: ActiveTrial) -> bool:
        """Whether the trial has yielded as often as its `epochs` says. The pruner is not asked from then on."""
        total = self._known(job)
        if total is None or job.last.step < total:
            return False
        if job.last.step > total:
            self._tell(job, f"more often than its setting epochs={total} says; the pruner is not asked after that")
        return True

    def at_end(self, job: ActiveTrial) -> bool:
        """Whether the trial has just yielded what its `epochs` says is the last."""
        return job.last.step > 0 and job.last.step == self._known(job)

    def ended(self, job: ActiveTrial) -> None:
        """The trial's train() has ended by itself."""
        total = self._known(job)
        if total is not None and job.last.step < total:
            self._tell(job, f"{job.last.step} times, and its setting epochs={total} says otherwise")

    def _known(self, job: ActiveTrial) -> int | None:
        total = job.settings.get("epochs")
        if not self._own or not isinstance(total, (int, float)) or isinstance(total, bool):
            return None
        return int(total) if 1 <= total < math.inf else None

    def _tell(self, job: ActiveTrial, what: str) -> None:
        if not self._said:
            self._said = True
            self._say(f"trial {job.number}: train() yields {what}")
