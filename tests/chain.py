"""Several studies in one start of an engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from search.engine.callbacks import Callbacks
from search.engine.driver import Driver
from search.engine.messages import Message
from search.engine.rules import Run
from search.engine.trial import ActiveTrial


class Chain:
    """The drivers of several studies as one, so that one start of Ray's workers is enough for all."""

    def __init__(self, drivers: Sequence[Driver]) -> None:
        self._drivers = drivers
        self._of: dict[int, Driver] = {}
        self._jobs: list[ActiveTrial] = []
        self.run, self.over, self.counts, self.callbacks = Run(), False, Counter[Any](), Callbacks((), print)

    @property
    def finished(self) -> bool:
        return all(driver.finished for driver in self._drivers)

    def next(self) -> ActiveTrial | None:
        for driver in self._drivers:
            if (job := driver.next()) is not None:
                self._of[id(job)] = driver
                self._jobs.append(job)
                return job
        return None

    def receive(self, job: ActiveTrial, message: Message) -> bool:
        return self._of[id(job)].receive(job, message)

    def closed(self, number: int, raised: str) -> None:
        assert raised == ""

    def catch_up(self) -> None: ...
