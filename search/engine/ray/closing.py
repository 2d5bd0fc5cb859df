"""The train() of a trial that ended before it: closed at once, not when its worker is next needed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from search.engine.messages import Failed, Message, Report
from search.engine.ray import quick_imports

with quick_imports():
    import ray
    from ray.exceptions import RayError


class Closing:
    """Has workers close the training of a trial, while other trials go on."""

    def __init__(self, own: bool, closed: Callable[[int, str], None]) -> None:
        """`own`: of a train() of the space file; the built-in training has nothing to close.

        `closed`: called with the trial's number and what its code raised meanwhile.
        """
        self._own, self._closed = own, closed
        self._pending: dict[Any, int] = {}

    def begin(self, trial: int, last: Message, actor: Any) -> None:
        """Trial `trial` has ended with the message `last` of its `actor`."""
        if self._own and isinstance(last, (Report, Failed)) and actor is not None:
            self._pending[actor.drop.remote()] = trial

    def waits(self) -> bool:
        """Take in what was closed; whether some training is still being closed."""
        done = ray.wait([*self._pending], num_returns=len(self._pending), timeout=0)[0] if self._pending else []
        for ready in done:
            with suppress(RayError):  # the actor was ended; its process closes the training by itself
                self._closed(self._pending[ready], ray.get(ready))
            del self._pending[ready]
        return bool(self._pending)
