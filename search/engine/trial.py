"""A trial that runs: what the driver, the engines and the callbacks know of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, Trial

from search.engine.messages import Order, Report, SaveWeights
from search.files.locations import Where
from search.study.attributes import TrialRecord


@dataclass
class ActiveTrial:
    """One trial on its way: what the engine hands to a worker, and what is known of it so far."""

    trial: Trial
    settings: dict[str, Any]
    known: FrozenTrial
    """The trial as the storage had it before this attempt."""
    attempt: int = 0
    """The number of its order."""
    keep: SaveWeights | None = None
    """When its weights are kept, and where."""
    checkpoints: Where | None = None
    """The folder for its checkpoints. None: a train() of the space file, which has none."""
    last: Report = field(default_factory=lambda: Report(0, {}, 0, last=False))
    """Its last epoch; before the first, step 0. `machine_seconds` is added to `epoch`: the time of all attempts."""
    cost: dict[str, Any] = field(default_factory=dict)
    """What its model takes, and its shares of devices, once an epoch of any attempt has said so."""
    audited: bool = False
    """The pruner would have stopped it; it runs to its end, to see whether that would have been wrong."""

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
    def order(self) -> Order:
        """What its worker is sent."""
        return Order(self.attempt, self.settings, self.keep, self.checkpoints)
