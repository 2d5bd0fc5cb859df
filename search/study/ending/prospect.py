"""What more trials would gain, judged by those that there are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial

from search.config import is_validation_accuracy
from search.study.attributes import TrialRecord, value_of

MORE = 16
"""So many more trials are asked about."""
FEWEST = 8
"""Of fewer completed trials nothing is said: half of them are too few to see where they thin out."""
_SHAPE = -0.25
"""Of the generalised Pareto distribution: accuracies have an end, and thin out before it."""
_SHARES = np.linspace(0.005, 0.995, 100)


@dataclass(frozen=True)
class Prospect:
    """What `more` trials would add to the best value: the mean, and an 80% interval."""

    more: int
    mean: float
    low: float
    high: float


def prospect(values: Sequence[float], ended: int, best: float, more: int = MORE, most: float = math.inf) -> Prospect:
    """What `more` trials would gain over `best`, if they are like those so far.

    `values`: of the completed trials, higher is better, at least FEWEST finite ones. `ended`: how many trials completed
    or were pruned; a pruned one counts as below the median of the completed. `most`: no gain is larger.

    Peaks over a threshold (Pickands, Annals of Statistics 3 (1975) 119): how far the better half of the values lies
    above their median follows a generalised Pareto distribution, whose mean is theirs. Of `more` draws the largest
    counts.
    `python -m benchmarks.prospects` compares the intervals with what the searches of recorded problems gained.
    """
    ranked = np.sort(np.asarray(values, dtype=np.float64))[::-1]
    count = len(ranked) // 2
    threshold = ranked[count]
    beyond = np.minimum(1.0, (1 - _SHARES ** (1 / more)) * ended / count)
    with np.errstate(over="ignore", invalid="ignore"):  # values such as 1e300, whose gain is no number
        scale = (ranked[:count] - threshold).mean() * (1 - _SHAPE)
        gains = np.clip(scale / _SHAPE * (beyond**-_SHAPE - 1) - (best - threshold), 0.0, max(0.0, most))
        return Prospect(more, float(gains.mean()), *(float(np.interp(share, _SHARES, gains)) for share in (0.1, 0.9)))


def error_of(trial: FrozenTrial, metric: str) -> float | None:
    """The standard error of a completed trial's accuracy on its validation images; None for another metric."""
    images, value = TrialRecord(trial).val_images, value_of(trial)
    if not images or value is None or not is_validation_accuracy(metric) or not 0 <= value <= 1:
        return None
    return math.sqrt(value * (1 - value) / images)


def worth(values: Sequence[float], best: float, error: float | None) -> float:
    """The least gain that is worth more trials: half a standard error of the best.

    Without one, a tenth of what the best is above the median of the completed trials.
    """
    return error / 2 if error is not None else (best - float(np.median(values))) / 10
