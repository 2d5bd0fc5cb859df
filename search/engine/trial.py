"""A trial that runs: what the driver, the engines and the callbacks know of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, Trial

from search.config import COSTS, epochs_of
from search.data.identity import Identity
from search.engine.failures import unmeasured
from search.engine.messages import Order, Report, SaveWeights
from search.files.locations import Where
from search.format import plural
from search.study.attributes import TrialRecord
from search.study.data import Found, weights_name


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
    output: Path | None = None
    """The file for what a train() of the space file prints."""
    last: Report = field(default_factory=lambda: Report(0, {}, 0, last=False))
    """Its last epoch; before the first, step 0. `machine_seconds` is added to `epoch`: the time of all attempts."""
    cost: dict[str, Any] = field(default_factory=dict)
    """What its model takes, and its shares of devices, once an epoch of any attempt has said so."""
    size: dict[str, float] = field(default_factory=dict)
    """What its model takes of the costs that the study asks for, by the names of `config.COSTS`."""
    measure: tuple[str, ...] = ()
    """Those of them that its worker has to measure first."""
    rungs: dict[str, list[float]] = field(default_factory=dict)
    """Of several objectives: epoch, as text, at which ASHA compares, to what this attempt reported there."""
    feasible: bool = True
    """Once it has ended: it keeps the constraints of the study's sampler."""
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
        return Order(self.attempt, self.settings, self.keep, self.checkpoints, self.output, self.number, self.measure)

    def reached(self, goal: str) -> Any:
        """What it has of an objective: of its last epoch, or what its model takes."""
        return self.size.get(goal, self.last.epoch.get(goal))

    def kept(self, first: bool) -> TrialRecord:
        """What the storage keeps of its last epoch, the first of this attempt or not."""
        report, new = self.last, TrialRecord()
        if first and report.ran_on is not None:
            new.ran_on = report.ran_on
        if first and report.data is not None:
            new.data = report.data
        if first and report.weights is not None:
            new.weights = report.weights
        if first and report.code is not None:
            new.code = report.code
        if first and (report.step > 1 or self.known.intermediate_values):
            new.resumed_after = [*(self.before.resumed_after or []), report.step - 1]
        if report.cost is not None:
            # A latency that is compared is the one that was measured once for all trials of the kind.
            new.cost = self.cost = report.cost | {COSTS[name]: taken for name, taken in self.size.items()}
        if report.notes:
            new.notes = report.notes
        if report.val_images is not None:
            new.val_images = report.val_images
        if report.test is not None:
            new.test = report.test
        new.epoch = report.epoch
        return new

    def other(self, known: Found) -> str:
        """Why it fails if its last report is of other data, or of other weights, than the study has: `known`."""
        dataset, weights = str(self.settings.get("dataset")), weights_name(self.settings)
        stored = Identity.from_json(known.data.get(dataset))
        if stored is not None and self.last.data not in (None, stored.fingerprint):
            return f"bad_data: {dataset} is no longer what the study was made with"
        if weights in known.weights and self.last.weights not in (None, known.weights[weights]):
            return f"bad_data: the weights of {weights} are no longer what the study was made with"
        return ""


def measured(report: Report, metrics: Iterable[str], size: Mapping[str, float]) -> list[float] | str:
    """The values of the `metrics` in what a training yielded, or in what its model takes; or why the trial fails."""
    values, epoch = [], report.epoch | dict(size)
    for metric in metrics:
        value = epoch.get(metric)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return unmeasured(metric, epoch, report.place)
        if not math.isfinite(value):
            return f"diverged: {metric} is {value} at epoch {report.step}"
        values.append(float(value))
    return values


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
            self._tell(job, f"{plural(job.last.step, 'time')}, and its setting epochs={total} says otherwise")

    def _known(self, job: ActiveTrial) -> int | None:
        return epochs_of(job.settings) if self._own else None

    def _tell(self, job: ActiveTrial, what: str) -> None:
        if not self._said:
            self._said = True
            self._say(f"trial {job.number}: train() yields {what}")
