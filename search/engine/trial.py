"""What the study's side, the engines and those who watch a run agree on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from optuna.trial import FrozenTrial, Trial, TrialState

from search.engine.failures import reason
from search.engine.worker import SaveWeights, WorkerConfig
from search.errors import SearchError
from search.files.locations import Where
from search.study.attributes import TrialRecord
from search.study.storage import retry

if TYPE_CHECKING:
    from search.engine.driver import Driver


class LimitReached(BaseException):
    """At a limit of the run, what still runs goes back in the queue.

    Like KeyboardInterrupt, no `except Exception` holds it up.
    """


class RunAborted(SearchError):
    """The run is plainly broken: so many trials failed in a row, or the space file's sampler or pruner raised."""

    exit_status = 1


@contextmanager
def blamed(what: str) -> Iterator[None]:
    """Raise RunAborted for what a sampler or pruner of the user's own raises: it would again, at every trial."""
    try:
        yield
    except (*retry.ERRORS, OSError):
        raise
    except Exception as error:
        raise RunAborted(f"the study's {what} failed: {reason(error)}") from error


class EngineFailed(RuntimeError):
    """What runs the trials gave up as a whole; the study is unharmed, and the same command goes on."""


@dataclass
class ActiveTrial:
    """One trial on its way: what the engine hands to a worker, and what is known of it so far."""

    trial: Trial
    settings: dict[str, Any]
    known: FrozenTrial
    epoch: dict[str, Any] = field(default_factory=dict)
    step: int = 0
    attempt: int = 0
    """Counts the jobs of a run. What a worker sends carries it, so that nothing late is taken for another's."""
    notes: list[str] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)
    """Learning rate of each layer group in this epoch, if there are several."""
    right: bytes | None = None
    """After the last epoch: 1 for each validation image named right, else 0. Of a train() of the user's own, None."""
    audited: bool = False
    """The pruner would have stopped it; it runs to its end, to see whether that would have been wrong."""
    answers: bytes | None = None
    """Then also what each was called, as search.answers packs it."""
    keep: SaveWeights | None = None
    """When its weights are kept, and where."""
    cost: dict[str, Any] = field(default_factory=dict)
    """What its model takes, and its shares of devices, once its first epoch has said so."""
    checkpoints: Where | None = None
    """The folder that its training may go on from; of a train() of the user's own, None."""
    looked: dict[str, Any] = field(default_factory=dict)
    """What a look at the test split found: `test_acc`, of so many `images`."""

    @property
    def number(self) -> int:
        return self.trial.number

    @property
    def record(self) -> TrialRecord:
        """What the storage keeps of it."""
        return TrialRecord(self.trial)

    @property
    def before(self) -> TrialRecord:
        """What the storage kept of it before this attempt."""
        return TrialRecord(self.known)

    @property
    def order(self) -> tuple[int, dict[str, Any], SaveWeights | None, Where | None]:
        """What its worker is sent."""
        return self.attempt, self.settings, self.keep, self.checkpoints


class Callback(Protocol):
    """Who watches a run: the live view, TensorBoard. Of the end it hears when the next trial is on its way."""

    def on_epoch(self, job: ActiveTrial) -> None: ...
    def on_end(self, job: ActiveTrial, state: TrialState, reason: str) -> None: ...


class Engine(Protocol):
    """Where trials run; `note` says so to the user."""

    @property
    def note(self) -> str: ...
    @property
    def workplace(self) -> WorkerConfig: ...
    def run(self, driver: Driver) -> None: ...
    def call(self, function: str, *args: Any) -> Any: ...
