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
"""Each problem, each side, and of each seed and gap its cost and the share of it that stopped trials took."""


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
    return {(p.name, name): np.quantile(c[..., 0], 0.5, axis=0, method="inverted_cdf") for p, name, c in measured}


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
        cells = [cell for gap, ratio in enumerate(ratios) for cell in (spread(costs[:, gap, 0]), ratio)]
        lines.append(f"| {' | '.join([problem.name, name, *cells])} |")
        print(lines[-1], flush=True)
    return lines


def verdict(measured: Measured, own: str, habits: Sequence[str], lanes: int) -> list[str]:
    """Markdown: the bar, held against the better of the habits on each problem and gap, and what limits a miss."""
    medians = medians_of(measured)
    stopped = {(p.name, name): costs[..., 1] for p, name, costs in measured}
    lines = [
        f"The bar is {BAR} x fewer lane-epochs than the better habit; never is beyond {CAP}.",
        "",
        "| problem | to within | ours | better habit | ratio | bar | what limits it |",
        "|---|---|---|---|---|---|---|",
    ]
    for problem in {problem.name: problem for problem, *_ in measured}.values():
        for gap, within in enumerate(GAPS):
            habit = min(habits, key=lambda name: float(medians[problem.name, name][gap]))
            ours, theirs = (float(medians[problem.name, name][gap]) for name in (own, habit))
            shares = [stopped[problem.name, name][:, gap] for name in (own, habit)]
            said = "" if times(theirs, ours) >= BAR else _limit(ours, theirs, lanes * problem.epochs, shares)
            cells = [number(ours), number(theirs), ratio(theirs, ours), _holds(ours, theirs), said]
            lines.append(f"| {problem.name} | {within:.1%} | {' | '.join(cells)} |")
    return lines


def _holds(ours: float, theirs: float) -> str:
    if math.isinf(ours):
        return "not reached"
    return "holds" if times(theirs, ours) >= BAR else f"misses by {BAR / times(theirs, ours):.2f} x"


def _limit(ours: float, theirs: float, floor: int, stopped: Sequence[NDArray[np.float64]]) -> str:
    if math.isinf(ours):
        return f"in half the replays or more no trial comes so near in {CAP} lane-epochs"
    mine, habits = (float(np.mean(shares[shares > 0])) if (shares > 0).any() else 0.0 for shares in stopped)
    said = f"trials that were stopped take {mine:.0%} of the lane-epochs, the habit's {habits:.0%}"
    if theirs / floor < BAR:
        said += f"; a whole trial on each lane is {floor}, so that more than {theirs / floor:.2f} x cannot be"
    return said
