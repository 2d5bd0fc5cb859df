"""What the report says that 16 more trials gain, beside what they gain: searches of the recorded problems, replayed.

python -m benchmarks.prospects [--seeds 20] [--trials 112]

After 16, 24, 32, 48, 64, 80 and 96 trials the interval is asked for and compared with the trials that follow. Of
`--patience auto` it is said when it stops, and what the trials beyond it would have gained.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from optuna.samplers import RandomSampler
from optuna.trial import create_trial

from benchmarks import results
from benchmarks.efficiency import LANES, Make, ours_by_default, ours_with, quiet, steps
from benchmarks.problems import CURVES, PROBLEMS, Problem, curves
from search.study.ending.prospect import FEWEST, MORE, prospect, room
from search.study.ending.stopping import Stopping
from search.study.pruner import ASHA

AT = (16, 24, 32, 48, 64, 80, 96)
SIDES: dict[str, Make] = {
    "this project's defaults": ours_by_default,
    "random sampling": partial(ours_with, sampler=RandomSampler, pruner=ASHA()),
}


def search_of(problem: Problem, make: Make, seed: int, trials: int) -> list[float | None]:
    """The last accuracy of each trial of a search, in the order of their ends; None of those that were stopped.

    Trials that diverged count nowhere.
    """
    quiet()
    epochs = steps(make(problem, seed), curves(problem), LANES)
    ends = (at for at in epochs if not at.goes_on and not math.isnan(at.accuracy))
    return [at.accuracy if at.last else None for at in itertools.islice(ends, trials)]


def asked(search: list[float | None]) -> list[tuple[float, float, float, float]]:
    """What came, and what was said: mean, lower and upper end of the interval; each time that enough had completed."""
    found = []
    for at in AT:
        values, later = _completed(search[:at]), _completed(search[at : at + MORE])
        if len(values) >= FEWEST:
            said = prospect(values, at, most=room(values, True, "val_acc"))
            found.append((max([0.0, *(value - max(values) for value in later)]), said.mean, said.low, said.high))
    return found


def stopped(search: list[float | None], count: int) -> tuple[int, float]:
    """After how many trials `--patience auto` stops, of `count` images; what those after it would have gained."""
    stopping = Stopping(patience="auto")
    stopping.count_in([], "val_acc")
    for number, value in enumerate(search):
        stored = None if value is None else create_trial(value=value, user_attrs={"val_images": count})
        stopping.ended(number, value, stored)
        if stopping.reached():
            return number + 1, max(_completed(search)) - max(_completed(search[: number + 1]))
    return len(search), 0.0


def _completed(search: list[float | None]) -> list[float]:
    return [value for value in search if value is not None]


def _images(problem: Problem) -> int:
    """How many images a recorded accuracy is a share of."""
    with np.load(CURVES) as stored:
        return int(stored[f"{problem.name}_images"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=112)
    words = parser.parse_args()
    lines = [f"{words.seeds} seeds, {LANES} lanes, {words.trials} trials. Gains in thousandths of val_acc.", ""]
    lines += ["| problem | search | asked | said, mean | came, mean | below the upper end | above the lower end |"]
    lines += ["|---|---|---|---|---|---|---|"]
    stops = ["", "| problem | `--patience auto` stops after, median (range) | lost by it, mean | at most |"]
    stops += ["|---|---|---|---|"]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for problem in PROBLEMS:
            for side, make in SIDES.items():
                tasks = [pool.submit(search_of, problem, make, seed, words.trials) for seed in range(words.seeds)]
                searches = [task.result() for task in tasks]
                came, mean, low, high = np.array([row for search in searches for row in asked(search)]).T
                cells = [problem.name, side, len(came), f"{1000 * mean.mean():.2f}", f"{1000 * came.mean():.2f}"]
                cells += [f"{(came <= high + 1e-9).mean():.0%}", f"{(came >= low - 1e-9).mean():.0%}"]
                lines.append(f"| {' | '.join(map(str, cells))} |")
                if make is ours_by_default:
                    ends = np.array([stopped(search, _images(problem)) for search in searches])
                    after = f"{np.median(ends[:, 0]):.0f} ({ends[:, 0].min():.0f} to {ends[:, 0].max():.0f})"
                    lost = f"{1000 * ends[:, 1].mean():.2f} | {1000 * ends[:, 1].max():.2f}"
                    stops.append(f"| {problem.name} | {after} | {lost} |")
    results.write("What more trials gain", "python -m benchmarks.prospects", [*lines, *stops])


if __name__ == "__main__":
    main()
