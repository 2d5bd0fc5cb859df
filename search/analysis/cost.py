"""What the trials of a study took, and what pruning saved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from search.config import epochs_of
from search.study.attributes import TrialRecord, config_of, epoch_of


@dataclass(frozen=True)
class Cost:
    """Machine seconds: spent in training and validation by all workers together, and not spent thanks to pruning.

    And the GPU-hours among them: a trial that shares a GPU with three others is charged a quarter.
    """

    spent: float
    saved: float
    gpu_hours: float = 0.0
    gpu_hours_saved: float = 0.0


def cost(trials: Iterable[FrozenTrial]) -> Cost:
    """What the trials took. Saved: the epochs that pruned trials did not run, at each trial's own mean speed."""
    spent = saved = hours = hours_saved = 0.0
    for trial in trials:
        seconds, gpus = machine_seconds(trial) or 0.0, taken(trial, "gpus") or 0.0
        spent += seconds
        hours += seconds * gpus / 3600
        ran = len(trial.intermediate_values)
        planned = epochs_of(config_of(trial)) if trial.state == TrialState.PRUNED else None
        if planned is not None and 0 < ran < planned:
            spared = seconds / ran * (planned - ran)
            saved += spared
            hours_saved += spared * gpus / 3600
    return Cost(spent, saved, hours, hours_saved)


def machine_seconds(trial: FrozenTrial) -> float | None:
    """What its epochs took, attempts that were interrupted included."""
    return _number(epoch_of(trial).get("machine_seconds"))


def seconds_an_epoch(trial: FrozenTrial) -> float | None:
    """Machine seconds an epoch, the mean of all that the trial ran."""
    seconds, ran = machine_seconds(trial), len(trial.intermediate_values)
    return seconds / ran if seconds is not None and ran else None


def taken(trial: FrozenTrial, what: str) -> float | None:
    """A figure of `search.train.footprint`, or `gpus`, the share of GPUs; None if the trial did not record it."""
    return _number(TrialRecord(trial).cost.get(what))


def gpu_hours(trial: FrozenTrial) -> float | None:
    """Machine time times the share of GPUs that it had, in hours."""
    seconds, gpus = machine_seconds(trial), taken(trial, "gpus")
    return None if seconds is None or gpus is None else seconds * gpus / 3600


def _number(value: Any) -> float | None:
    """The attribute of a study may be another program's, of the same name."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
