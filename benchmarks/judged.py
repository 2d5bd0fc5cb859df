"""What replayed searches cost, in lane-epochs, as Markdown: medians, quartiles, ratios, and whether the bar holds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.problems import Problem

GAPS = (0.005, 0.002)
"""How near the best point of the grid a trial must come, in accuracy (of 1)."""
CAP = 1500
"""Lane-epochs after which a replay is given up: its cost counts as infinite."""
BAR = 1.5
Measured = Sequence[tuple[Problem, str, NDArray[np.float64]]]
"""Each problem, each side, and its costs, (seeds, gaps)."""


def number(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.0f}"


def spread(costs: NDArray[np.float64]) -> str:
    """Median and quartiles, without interpolation, which infinity does not bear."""
    low, middle, high = (float(np.quantile(costs, q, method="inverted_cdf")) for q in (0.25, 0.5, 0.75))
    return f"{number(middle)} ({number(low)} to {number(high)})"


def times(theirs: float, ours: float) -> float:
    """How many times `ours` is `theirs`; at least so many where theirs was never reached, NaN where ours was not."""
    return math.nan if math.isinf(ours) else min(theirs, CAP) / ours


def ratio(theirs: float, ours: float) -> str:
    if math.isinf(ours):
        return "-"
    return f"{'> ' if math.isinf(theirs) else ''}{times(theirs, ours):.2f}"


def medians_of(measured: Measured) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Problem and side to the median of each gap."""
    return {(p.name, name): np.quantile(c, 0.5, axis=0, method="inverted_cdf") for p, name, c in measured}


def table(measured: Measured, base: str) -> list[str]:
    """Markdown; the ratio is of the medians, the side `base` below."""
    lines = [
        "| problem | search | lane-epochs to within 0.5% | ratio | to within 0.2% | ratio |",
        "|---|---|---|---|---|---|",
    ]
    medians = medians_of(measured)
    for problem, name, costs in measured:
        own, ours = medians[problem.name, name], medians[problem.name, base]
        ratios = ["" if name == base else ratio(mine, theirs) for mine, theirs in zip(own, ours, strict=True)]
        cells = [cell for gap, ratio in enumerate(ratios) for cell in (spread(costs[:, gap]), ratio)]
        lines.append(f"| {' | '.join([problem.name, name, *cells])} |")
        print(lines[-1], flush=True)
    return lines


def verdict(measured: Measured, own: str, habits: Sequence[str]) -> list[str]:
    """The bar, held against the best of the habits on each problem and gap."""
    medians = medians_of(measured)
    ratios = [
        (min(medians[problem, name][gap] for name in habits), medians[problem, own][gap])
        for problem in dict.fromkeys(problem.name for problem, *_ in measured)
        for gap in range(len(GAPS))
    ]
    held = sum(times(*pair) >= BAR for pair in ratios)
    return [
        f"Bar: {BAR} x fewer lane-epochs than the better habit. Held in {held} of {len(ratios)} cells "
        f"({', '.join(ratio(*pair) for pair in ratios)}); never is beyond {CAP} lane-epochs."
    ]
