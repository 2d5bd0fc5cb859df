"""What more trials would gain, judged by those that there are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from search.config import is_validation_accuracy
from search.space.direction import is_share
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


def prospect(values: Sequence[float], ended: int, more: int = MORE, most: float = math.inf) -> Prospect:
    """What `more` trials would gain over the best, if they are like those so far.

    `values`: of the completed trials, higher is better, at least FEWEST finite ones. `ended`: how many trials completed
    or were pruned; a pruned one counts as below the median of the completed. `most`: no gain is larger (`room`).

    Peaks over a threshold (Pickands, Annals of Statistics 3 (1975) 119): how far the better half of the values lies
    above their median follows a generalised Pareto distribution, whose mean is theirs. The gain is what the largest of
    `more` draws from it has over the largest of `ended` draws. So none is gained in ended / (ended + more) of all
    cases, as for any draws whose order says nothing.
    `python -m benchmarks.prospects` compares the intervals with what the searches of recorded problems gained.
    """
    ranked = np.sort(np.asarray(values, dtype=np.float64))[::-1]
    count = len(ranked) // 2
    with np.errstate(over="ignore", invalid="ignore"):  # values such as 1e300, whose gain is no number
        scale = (ranked[:count] - ranked[count]).mean() * (1 - _SHAPE)
        later, now = (_largest(draws, count / ended) * scale for draws in (more, ended))
        gains = np.clip(later[:, None] - now[None], 0.0, max(0.0, most))
        return Prospect(more, float(gains.mean()), *(float(end) for end in np.quantile(gains, (0.1, 0.9))))


def _largest(draws: int, above: float) -> NDArray[np.float64]:
    """How far the largest of so many draws lies above the threshold, in scales: its quantiles at _SHARES.

    `above`: the share of all draws that lie above.
    """
    beyond: NDArray[np.float64] = np.minimum(1.0, (1 - _SHARES ** (1 / draws)) / above)
    return (beyond**-_SHAPE - 1) / _SHAPE


def room(values: Sequence[float], maximize: bool, metric: str) -> float:
    """How far the best of the values may still rise: of shares to 1, of accuracies in percent to 100, of losses to 0.

    `values`: higher is better, those of a loss are negative. Infinity where they have no end that is known.
    """
    best = max(values)
    if not maximize:
        return -best if best <= 0 else math.inf
    if min(values) < 0:
        return math.inf
    if best <= 1 and is_share(metric):
        return 1 - best
    return 100 - best if is_validation_accuracy(metric) and best <= 100 else math.inf


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
