"""Earlier studies that the first trials of a new one contradict: what they still promise is not tried."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import TrialState

from search.study.attributes import TrialRecord, loss_signs
from search.study.pruner import ASHA
from search.study.start.coordinates import Place, place_of
from search.study.start.scores import promise
from search.study.start.warm import Knowledge, is_learnt
from search.study.storage import internals

FEW = 5
"""With fewer trials that reached the first rung, none is contradicted."""


def contradicted(found: Knowledge, places: Sequence[Place], values: NDArray[np.float64]) -> list[str]:
    """The studies whose promises rank the trials at `places` more against their values than with them.

    `values`: of each trial at the first rung, (T,), the higher the better. The measure is Kendall's tau.
    """
    if len(places) < FEW:
        return []
    return [past.name for past in found.pasts if _tau(promise(past, places, found.units), values) < 0]


def _tau(promised: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """The pairs in one order less those in the other; ties count nothing."""
    a, b = (np.sign(part[:, None] - part[None]) for part in (promised, values))
    return float((a * b).sum())


_FREE = TrialRecord()
_FREE.learnt = []


class Doubts:
    """Looks at each trial that reaches the first rung while learnt points wait, and frees those that no study backs."""

    def __init__(self, study: Study, found: Knowledge, epochs: int | None = None) -> None:
        """`epochs`: of every trial, where that is known; of shorter trials their last one counts as the first rung."""
        pruner = study.pruner
        self._study, self._found = study, found
        first = pruner.min_resource if isinstance(pruner, ASHA) else 1
        self.rung = first if epochs is None else min(first, epochs)
        self.dropped: list[str] = []

    def look(self) -> list[str]:
        """Free the waiting points of studies that are contradicted now; returns the names of those newly found so."""
        trials = self._study.get_trials(deepcopy=False)
        waiting = [trial for trial in trials if trial.state == TrialState.WAITING and is_learnt(trial)]
        if not waiting:
            return []
        sign = -loss_signs(self._study)[0]
        there = [(trial, trial.intermediate_values.get(self.rung, math.nan)) for trial in trials]
        seen = [
            (place_of(config, self._found.powers), sign * value)
            for trial, value in there
            if math.isfinite(value) and (config := TrialRecord(trial).config) is not None
        ]
        wrong = contradicted(self._found, [place for place, _ in seen], np.array([value for _, value in seen]))
        fresh = [name for name in wrong if name not in self.dropped]
        self.dropped += fresh
        for trial in waiting if fresh else ():
            if not {*(TrialRecord(trial).learnt or ())} - {*self.dropped}:
                internals.free(self._study, trial, _FREE.stored)
        return fresh
