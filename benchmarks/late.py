"""What choosing the step decay late would save of a search: epochs trained, against epochs that differ at all.

python -m benchmarks.late

Trials that share all but `step_size` and `gamma` have the same epochs until a decay parts them. A search that trained
each such epoch once, by branching from a checkpoint, would do what the plain one does for fewer epochs; this counts
both, for a search of 64 trials with the project's defaults on the recorded curves, and for the whole grid.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable

from benchmarks.efficiency import LANES, Side, ours_by_default
from benchmarks.problems import PROBLEMS, Point, Problem, curves

SEEDS = 20
TRIALS = 64


def epochs_of_search(side: Side, problem: Problem, trials: int = TRIALS, lanes: int = LANES) -> list[tuple[Point, int]]:
    """The points that a search tries, and how many epochs of each it trains."""
    table = curves(problem)
    begun = iter(range(trials))
    found: list[tuple[Point, int]] = []
    running = [(*side.start(), 0) for _ in zip(range(lanes), begun, strict=False)]
    while running:
        handle, point, step = running.pop(0)
        if side.report(handle, step + 1, float(table[(*point, step)]), step + 1 == problem.epochs):
            running.append((handle, point, step + 1))
            continue
        found.append((point, step + 1))
        running += [(*side.start(), 0) for _ in zip(range(1), begun, strict=False)]
    return found


def distinct(problem: Problem, trained: Iterable[tuple[Point, int]]) -> tuple[int, int]:
    """How many of the trained epochs differ, first if equal configs share too, then if only the decay may be late.

    The second counts every config once more where it is tried again: repeats are the sampler's doing.
    """
    whole: set[tuple[object, ...]] = set()
    own: dict[Point, list[int]] = {}
    for point, epochs in trained:
        own.setdefault(point, []).append(epochs)
        c = problem.settings(point)
        rates = [c["lr"] * c["gamma"] ** (epoch // c["step_size"]) for epoch in range(epochs)]
        base = (c["lr"], c["momentum"], c["weight_decay"])
        whole |= {(*base, *rates[: epoch + 1]) for epoch in range(epochs)}
    repeats = sum(sum(each) - max(each) for each in own.values())
    return len(whole), len(whole) + repeats


def main() -> None:
    print("| problem | whole grid | search of 64 trials | equal configs trained once, too |\n|---|---|---|---|")
    for problem in PROBLEMS:
        grid = [(point, problem.epochs) for point in problem.points()]
        saving = math.prod(problem.shape) * problem.epochs / distinct(problem, grid)[0]
        late, both = [], []
        for seed in range(SEEDS):
            trained = epochs_of_search(ours_by_default(problem, seed), problem)
            total, (once, decay) = sum(epochs for _, epochs in trained), distinct(problem, trained)
            late.append(total / decay)
            both.append(total / once)
        cells = [f"{value:.2f} x" for value in (saving, statistics.median(late), statistics.median(both))]
        print(f"| {problem.name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
