"""Trials in an order that uses what the pruned ones say: two trials are compared where both were last measured."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from search.study.attributes import value_of


def scores(trials: Sequence[FrozenTrial], sign: int) -> NDArray[np.float64]:
    """How many more of the other trials each beats than beat it: (T,), the higher the better.

    Two completed trials are compared by their values. A pruned one is compared with each other at the last epoch that
    both have, as its pruner did: Gehan's score for censored values (Biometrika 52 (1965) 203). `sign`: 1 where higher
    values are better, -1 where lower are. Trials are COMPLETE with a finite value, or PRUNED with a curve.
    """
    last = np.array([_last(trial) for trial in trials])
    found = np.zeros(len(trials))
    for epoch in np.unique(last):
        reached = np.flatnonzero(last >= epoch)
        values = sign * np.array([_at(trials[int(i)], epoch) for i in reached])
        ends = last[reached] == epoch
        here = np.sort(values[ends])
        whole = np.sort(values)
        found[reached[ends]] += _ahead(values[ends], whole)
        found[reached[~ends]] += _ahead(values[~ends], here)
    return found


def _ahead(values: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many of the sorted `others` are less than each value, less how many are greater."""
    below = np.searchsorted(others, values, side="left")
    above = len(others) - np.searchsorted(others, values, side="right")
    return (below - above).astype(np.float64)


def _last(trial: FrozenTrial) -> float:
    """The epoch after which nothing is known of it; of a completed trial, infinity."""
    return math.inf if trial.state == TrialState.COMPLETE else max(trial.intermediate_values)


def _at(trial: FrozenTrial, epoch: float) -> float:
    """What it had at that epoch, or at the last one before; at infinity its value."""
    if math.isinf(epoch):
        return value_of(trial) or 0.0
    known = [step for step in trial.intermediate_values if step <= epoch]
    value = (
        trial.intermediate_values[max(known or trial.intermediate_values)] if trial.intermediate_values else math.nan
    )
    return value if math.isfinite(value) else -math.inf


def comparable(trial: FrozenTrial) -> bool:
    """Whether a pruned trial has a curve that can be compared."""
    curve = trial.intermediate_values
    return trial.state == TrialState.PRUNED and bool(curve) and math.isfinite(curve[max(curve)])
