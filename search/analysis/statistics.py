"""What a difference between two accuracies is worth. SciPy is imported where it is needed.

Of it, scipy.special alone, which takes a quarter of a second: `search predict` needs none. scipy.stats takes one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
_Z = 1.959963984540054
"""The quantile of the normal distribution that leaves (1 - LEVEL) / 2 above it."""


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95% score interval of the share `right` of `count`, as two fractions.

    Wilson, Journal of the American Statistical Association 22 (1927). Raises ValueError unless 0 <= right <= count > 0.
    """
    if not 0 <= right <= count or not count:
        raise ValueError(f"{right} right of {count}")
    share, weight = right / count, _Z**2 / count
    middle = share + weight / 2
    half = _Z * math.sqrt(share * (1 - share) / count + weight / (4 * count))
    low, high = (middle - half) / (1 + weight), (middle + half) / (1 + weight)
    return (0.0 if right == 0 else low), (1.0 if right == count else high)  # not off by a rounding


def difference(right_a: int, count_a: int, right_b: int, count_b: int) -> tuple[float, float]:
    """The 95% interval of a share less another, of independent samples.

    Newcombe, Statistics in Medicine 17 (1998) 873, method 10. On the same images it is wider than need be.
    """
    a, b = right_a / count_a, right_b / count_b
    (low_a, high_a), (low_b, high_b) = wilson(right_a, count_a), wilson(right_b, count_b)
    return a - b - math.hypot(a - low_a, high_b - b), a - b + math.hypot(high_a - a, b - low_b)


def paired_difference(both: int, only_a: int, only_b: int, count: int) -> tuple[float, float]:
    """The 95% interval of a share less another, of the same `count` images: `both` are those that A and B name right.

    Newcombe, Statistics in Medicine 17 (1998) 2635, method 10: of `difference`, with the correlation of the two.
    """
    right_a, right_b, neither = both + only_a, both + only_b, count - both - only_a - only_b
    product = float(right_a * (count - right_a)) * float(right_b * (count - right_b))
    excess = both * neither - only_a * only_b
    phi = (max(excess - count / 2, 0) if excess > 0 else excess) / math.sqrt(product) if product else 0.0
    a, b = right_a / count, right_b / count
    (low_a, high_a), (low_b, high_b) = wilson(right_a, count), wilson(right_b, count)

    def reach(x: float, y: float) -> float:
        return math.sqrt(max(0.0, x * x - 2 * phi * x * y + y * y))

    return a - b - reach(a - low_a, high_b - b), a - b + reach(high_a - a, b - low_b)


def mcnemar(only_a: NDArray[np.int64], only_b: NDArray[np.int64]) -> NDArray[np.float64]:
    """Exact two-sided p, row by row: `only_a` images that A alone names right, `only_b` those that B alone does.

    McNemar, Psychometrika 12 (1947), with the binomial distribution in place of its chi-square. (R,), (R,) -> (R,).
    """
    fewer, both = np.minimum(only_a, only_b), only_a + only_b
    from scipy.special import bdtr

    p: NDArray[np.float64] = np.minimum(1.0, 2 * bdtr(fewer.astype(np.float64), both, 0.5))
    return p


def holm(p: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """p values adjusted for how many they are, in their order; Holm, Scandinavian Journal of Statistics 6 (1979)."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled)) if len(values) else scaled
    return adjusted


def welch(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float] | None:
    """Two-sided p of mean(a) = mean(b), and the 95% interval of mean(a) - mean(b), where the variances may differ.

    Welch, Biometrika 34 (1947). None where it says nothing: fewer than two values on a side, or no spread on either.
    """
    if min(len(a), len(b)) < 2:
        return None
    parts = [float(np.var(values, ddof=1)) / len(values) for values in (a, b)]
    error = math.sqrt(sum(parts))
    if error < 1e-12:  # what is left of equal fractions by rounding
        return None
    freedom = error**4 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
    gap = float(np.mean(a) - np.mean(b))
    from scipy.special import stdtr, stdtrit

    half = float(stdtrit(freedom, (1 + LEVEL) / 2)) * error
    return 2 * float(stdtr(freedom, -abs(gap) / error)), gap - half, gap + half


def next_draw(values: Sequence[float]) -> tuple[float, float] | None:
    """The interval that holds one more draw of the same normal distribution with probability 95%; of one value none.

    Student's: mean -+ t s sqrt(1 + 1/n) with n - 1 degrees of freedom.
    """
    if len(values) < 2:
        return None
    spread = float(np.std(values, ddof=1)) * math.sqrt(1 + 1 / len(values))
    from scipy.special import stdtrit

    half = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * spread
    return float(np.mean(values)) - half, float(np.mean(values)) + half


def permutation(groups: Sequence[NDArray[np.float64]], shuffles: int = 999) -> float:
    """p of a permutation test: how often chance alone spreads the mean ranks of the groups, each (G,), as far."""
    values = np.concatenate(groups)
    ranks = np.searchsorted(np.sort(values), values).astype(np.float64)
    ends = np.cumsum([len(group) for group in groups])[:-1]

    def spread(order: NDArray[np.float64]) -> float:
        return float(sum(len(part) * (part.mean() - ranks.mean()) ** 2 for part in np.split(order, ends)))

    generator = np.random.default_rng(0)  # the same page every time
    found = spread(ranks) - 1e-9
    return (1 + sum(spread(generator.permutation(ranks)) >= found for _ in range(shuffles))) / (1 + shuffles)
