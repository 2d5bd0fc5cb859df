"""What an engine is, and how it stops."""

from __future__ import annotations

from typing import Any, Protocol

from search.engine.driver import Driver
from search.engine.worker import WorkerConfig


class LimitReached(BaseException):
    """A limit of the run is reached; what still runs goes back in the queue.

    Like KeyboardInterrupt, no `except Exception` holds it up.
    """


class EngineFailed(RuntimeError):
    """What runs the trials gave up as a whole; the study is unharmed, and the same command goes on."""


class Engine(Protocol):
    """Where trials run; `note` tells the user."""

    @property
    def note(self) -> str: ...
    @property
    def workplace(self) -> WorkerConfig: ...
    def run(self, driver: Driver) -> None: ...
    def call(self, function: str, *args: Any) -> Any: ...
