"""The tables of warm.py, as Markdown: medians beside the floor and the habit, paired tests, and the bars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from benchmarks.judged import number, spread
from benchmarks.problems import Problem
from benchmarks.warm import ALL, CAP, COLD, GAP, HABITS, NOTHING, OTHER, WRONG, Cell, reached
from search.study.pruner import ASHA
from search.study.start.warm import POINTS

ALPHA = 0.05
PREDICTED = (
    "Predicted, before the first replays at 2 and 16 lanes: with studies of other data, lite0_linear is at its floor "
    "at all lanes, digits_mlp takes 64 at 2 lanes and its floor at 16, and lite0_bottleneck takes what it takes cold. "
    "Shuffled and turned studies cost at most 15% more than none. Predicted of 1, 4 and 64 lanes, when two seeds at 64 "
    "had been seen: at 1 and 4 the verdicts are those at 2, and at 64 all are level, for a whole trial on each lane is "
    "most of a study."
)
PREDICTED_HELD = (
    "Predicted, before the replays: digits_onecycle takes half of what it takes cold, or is at its floor. Predicted "
    "before anybody had looked at the other three: lite0_adamw takes two thirds of cold at 1 to 4 lanes, though its "
    "sources used SGD, by the studies of its own data; cifar_mlp takes half of cold, for it is like the sources; "
    "cifar_cnn is level. At 16 lanes the same or the floor, at 64 all are level. Nothing is significantly worse than "
    "cold but for chance, and cold is nowhere significantly worse than the better habit."
)


def middle(costs: NDArray[np.float64]) -> float:
    return float(np.quantile(costs, 0.5, method="inverted_cdf"))


def p_of(ours: NDArray[np.float64], theirs: NDArray[np.float64], cap: int = CAP) -> float:
    """Wilcoxon's signed-rank test, paired by seed, two-sided; what was never reached counts as `cap`."""
    apart = np.minimum(ours, cap) - np.minimum(theirs, cap)
    return float(wilcoxon(apart).pvalue) if apart.any() else 1.0


def verdict(ours: NDArray[np.float64], theirs: NDArray[np.float64], cap: int = CAP) -> str:
    """`better`, `worse` or nothing, where the test says so, with its p."""
    p = p_of(ours, theirs, cap)
    if p >= ALPHA:
        return "level"
    less = np.minimum(ours, cap).mean() < np.minimum(theirs, cap).mean()
    return f"{'better' if less else 'worse'} (p {p:.1g})"


def lines(cells: Sequence[Cell], held: bool) -> list[str]:
    """Markdown."""
    seeds = len(cells[0].costs[COLD])
    found = [
        f"{seeds} seeds; lane-epochs to within {GAP:.1%} of the best, in the mean of training seeds; "
        f"median (quartiles); never is beyond {CAP}, or beyond three times the floor.",
        "The floor is a whole trial on each lane. Earlier studies: one of 64 trials by the defaults on each problem of "
        "other data, or on each other problem; or the former with their standings shuffled, or turned upside down. "
        "Tests are Wilcoxon's, paired by seed.",
        "",
        PREDICTED_HELD if held else PREDICTED,
        "",
        *(f"- `{problem.name}`: {problem.what}; {int(np.prod(problem.shape))} points" for problem in _problems(cells)),
        "",
        "| problem | lanes | floor | better habit | cold | other data | all others | shuffled | turned |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for cell in cells:
        shown = [spread(cell.costs[name]) for name in (COLD, OTHER, ALL, NOTHING, WRONG)]
        words = [cell.problem.name, str(cell.lanes), str(cell.floor), spread(_habit(cell)), *shown]
        found.append(f"| {' | '.join(words)} |")
    found += [
        "",
        "| problem | lanes | cold against the habit | other data against cold | all others | shuffled | turned | bar |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cell in cells:
        cold = cell.costs[COLD]
        against = [verdict(cell.costs[name], cold, cell.cap) for name in (OTHER, ALL, NOTHING, WRONG)]
        words = [cell.problem.name, str(cell.lanes), _cold(cell), *against, bar(cell)]
        found.append(f"| {' | '.join(words)} |")
    return found + limits(cells)


def limits(cells: Sequence[Cell]) -> list[str]:
    """Of each problem that misses its bar somewhere: what the points are worth that its studies begin with.

    Of each on which a cold search is worse than the habit: how many points are good enough.
    """
    missed = {cell.problem.name: cell for cell in cells if bar(cell) != "holds"}
    found = [f"- `{name}`: {_promised(cell)}." for name, cell in missed.items()]
    for name in dict.fromkeys(cell.problem.name for cell in cells if _cold(cell).startswith("worse")):
        share = float((reached(name) >= np.nanmax(reached(name)) - GAP).mean())
        found.append(
            f"- `{name}`, cold: {share:.0%} of its points end within {GAP:.1%} of the best, so that what counts is how "
            f"soon the poor ones are stopped. The habits stop them from epoch 1 on, the default from epoch "
            f"{ASHA().min_resource} on."
        )
    return ["", "What limits those that miss:", "", *found] if found else []


def _promised(cell: Cell) -> str:
    if np.isinf(cell.promised).all():
        return "no study of other data counts, for none varies the same rates, so that it is cold"
    return (
        f"the best of the {POINTS} points that studies of other data promise ends {middle(cell.promised):.1%} below "
        f"the best of all in the median, and within {GAP:.1%} with {(cell.promised <= GAP).sum()} of "
        f"{len(cell.promised)} seeds"
    )


def _cold(cell: Cell) -> str:
    return verdict(cell.costs[COLD], _habit(cell), cell.cap)


def bar(cell: Cell) -> str:
    """Whether the median with other data is the floor, or a third of the better habit's."""
    ours, habit = middle(cell.costs[OTHER]), min(middle(_habit(cell)), float(cell.cap))
    if ours <= max(cell.floor, habit / 3):
        return "holds"
    return "not reached" if np.isinf(ours) else f"{number(ours)} against {number(max(cell.floor, habit / 3))}"


def _habit(cell: Cell) -> NDArray[np.float64]:
    """The better one: by its median, else by its mean."""
    return min(
        (cell.costs[name] for name in HABITS), key=lambda costs: (middle(costs), np.minimum(costs, cell.cap).mean())
    )


def _problems(cells: Sequence[Cell]) -> list[Problem]:
    return list({cell.problem.name: cell.problem for cell in cells}.values())
