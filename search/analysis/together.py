"""Which settings act together: where the best of one depends on the value of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.analysis.censored import scores
from search.analysis.importance import compared
from search.analysis.statistics import holm

_SHUFFLES, _ROOM = 1999, 10
_LEVEL = 0.05


@dataclass(frozen=True)
class Together:
    """Two numeric settings of which one does best low, or high, where the other is high."""

    names: tuple[str, str]
    low: bool
    """Whether the one does best low where the other is high; else both do best high."""
    p: float
    """Of a permutation test, after Holm."""


def together(study: Study, done: Sequence[FrozenTrial], pruned: Sequence[FrozenTrial] = ()) -> list[Together]:
    """The pairs that are shown to act together, the surest first.

    `done`: the completed trials; `pruned`: those that were stopped, which count by their curves.

    The trials' ranks, as normal scores, are regressed on each numeric setting and its square, on the scale of its
    range, and on each option. A pair acts together if the product of its settings explains more than that: the
    residuals are shuffled (Freedman and Lane, J. Bus. Econ. Stat. 1 (1983) 292). Nothing with fewer trials than the
    regression needs and ten more.
    """
    trials, ranges, sign = compared(study, done, pruned)
    numeric = {name: _scaled(trials, name, range_) for name, range_ in ranges.items() if _numeric(range_)}
    numeric = {name: values for name, values in numeric.items() if len(np.unique(values)) > 2}
    pairs = list(combinations(sorted(numeric), 2))
    if not pairs:
        return []
    base = _base(trials, numeric, [name for name in ranges if name not in numeric])
    if len(trials) < base.shape[1] + _ROOM:
        return []
    directions = np.linalg.qr(base)[0]
    rank = _normal(scores(trials, sign))
    left = rank - directions @ (directions.T @ rank)
    if np.linalg.norm(left) < 1e-9:  # all trials are equal
        return []
    generator = np.random.default_rng(0)  # the same page every time
    shuffled = left[np.argsort(generator.random((_SHUFFLES, len(left))), axis=1)]
    shuffled -= shuffled @ directions @ directions.T
    found = [_pair(numeric[a] * numeric[b], directions, left, shuffled) for a, b in pairs]
    p = holm([value for _, value in found])
    shown = [
        Together(pair, slope < 0, float(value))
        for pair, (slope, _), value in zip(pairs, found, p, strict=True)
        if value <= _LEVEL
    ]
    return sorted(shown, key=lambda pair: pair.p)


def _pair(
    product: NDArray[np.float64],
    directions: NDArray[np.float64],
    left: NDArray[np.float64],
    shuffled: NDArray[np.float64],
) -> tuple[float, float]:
    """The slope of what the other columns leave of the product, and how often chance alone has so strong a one."""
    own = product - directions @ (directions.T @ product)
    size = float(np.linalg.norm(own))
    if size < 1e-9 * max(1.0, float(np.linalg.norm(product))):  # the other columns say it already
        return 0.0, 1.0
    slope = float(own @ left) / size
    chance = (shuffled @ own) / size / np.linalg.norm(shuffled, axis=1)
    exceeds = np.abs(chance) >= abs(slope) / max(float(np.linalg.norm(left)), 1e-12) - 1e-12
    return slope, float((1 + exceeds.sum()) / (1 + len(shuffled)))


def _scaled(trials: Sequence[FrozenTrial], name: str, range_: Any) -> NDArray[np.float64]:
    """The values of a numeric setting with mean 0 and spread 1, (T,), on the scale of its range."""
    values = np.array([float(trial.params[name]) for trial in trials])
    values = np.log(values) if range_.log else values
    spread = float(values.std())
    return (values - values.mean()) / spread if spread else np.zeros_like(values)


def _numeric(range_: Any) -> bool:
    return isinstance(range_, (FloatDistribution, IntDistribution))


def _base(
    trials: Sequence[FrozenTrial], numeric: dict[str, NDArray[np.float64]], others: Sequence[str]
) -> NDArray[np.float64]:
    """The columns of everything but products, (T, C)."""
    columns = [np.ones(len(trials))]
    for values in numeric.values():
        columns += [values, values**2]
    for name in others:
        taken = [repr(trial.params[name]) for trial in trials]
        columns += [np.array([float(one == option) for one in taken]) for option in sorted({*taken})[1:]]
    return np.stack(columns, axis=1)


def _normal(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normal scores of the ranks, ties at their mean: the outliers of diverged trials weigh no more than others."""
    from scipy.special import ndtri

    sorted_, index = np.unique(values, return_inverse=True)
    ends = np.cumsum(np.bincount(index, minlength=len(sorted_)))
    middle = ends - np.bincount(index, minlength=len(sorted_)) / 2
    scores_: NDArray[np.float64] = ndtri(middle / len(values))[index]
    return scores_
