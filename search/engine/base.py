"""What an engine is, and how it stops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from search.engine.messages import WorkerConfig
from search.files.locations import Where

if TYPE_CHECKING:  # with the driver come Optuna and SQLAlchemy, which the doctor's measurements need not wait for
    from search.engine.driver import Driver

UNITS = 10_000
"""In such parts of a CPU or GPU Ray counts, and so do we: in floats, five trials of 0.2 do not fit into 1."""


def share(trials: int) -> float:
    """The largest share of a GPU, of four decimals, of which `trials` fit on one."""
    return UNITS // trials / UNITS


class LimitReached(BaseException):
    """A limit of the run is reached; what still runs goes back in the queue.

    Like KeyboardInterrupt, no `except Exception` holds it up.
    """


class EngineFailed(RuntimeError):
    """What runs the trials gave up as a whole; the study is unharmed, and the same command goes on."""


class ClusterLost(EngineFailed):
    """The cluster that others started is gone: its head does not answer, or its node on this machine ended."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What an engine of `entry_points.ENGINES` is started with."""

    workplace: WorkerConfig
    """Where trials run, as far as the caller knows; the engine settles the device."""
    cpus: float | None
    """Of one trial. None: the engine's default."""
    gpus: float | None
    """Of one trial. None: the engine's default."""
    check: tuple[Any, ...] | None
    """A function of the training side, named as module:function, with its arguments. It runs before any trial."""
    wait: Callable[[Callable[[Callable[..., None]], Any]], Any]
    """Called with the check, which takes a function for its progress; returns what the check returns."""
    say: Callable[[str], None]
    """Called with one line for the user."""
    modules: Sequence[str]
    """What a training process needs of search.entry_points.PRELOAD."""
    space: Path | None
    """The space file, if there is one, which travels to the nodes of a cluster."""
    run_dir: Where
    address: str | None
    """Of a Ray cluster that is there. None: trials run on this machine."""
    verbose: bool


class Engine(Protocol):
    """Where trials run; `note` tells the user."""

    @property
    def note(self) -> str: ...
    @property
    def workplace(self) -> WorkerConfig: ...
    def run(self, driver: Driver) -> None: ...
    def call(self, function: str, *args: Any) -> Any: ...
