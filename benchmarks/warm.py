"""What a study gains by the earlier studies of its storage: recorded curves, replayed cold and with what they know.

python -m benchmarks.warm              the table of benchmarks/RESULTS.md
python -m benchmarks.warm --held       the problems of held.py too, which the design was not chosen on

Every earlier study is one of the defaults, of 64 trials at 2 lanes, on another problem. What is replayed is the
project's driver, study, ASHA, and all of search/study/start but the reading of the storage; the points are the grid's.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import BaseTrial, TrialState

from benchmarks import efficiency, held, problems, results
from benchmarks.judged import spread
from benchmarks.problems import Point, Problem
from search.config import make_config
from search.engine.driver import Driver
from search.engine.messages import Failed, Report
from search.engine.rules import Rules
from search.engine.trial import ActiveTrial
from search.space.file import SpaceFile
from search.study.attributes import TrialRecord
from search.study.pruner import ASHA
from search.study.sampler import STARTUP, BoundedTPE
from search.study.start import warm
from search.study.start.coordinates import place_of, rates_of, strangers
from search.study.start.doubts import Doubts
from search.study.start.scores import Past, standings

CAP, GAP = 1000, 0.005
"""Lane-epochs at which a replay ends, or three times a whole trial on each lane; of val_acc."""
TRIALS, LANES = 64, 2
"""Of an earlier study."""
FIRST = 1000
"""Its seed is so much more than that of the study that learns from it."""
SEEDS = 100
"""The first seed: the design was chosen on those below."""
Learn = Callable[[Problem, int], list[Past]]
"""problem, seed -> the studies that a study of that problem and seed finds in its storage"""


KNOWN = {problem.name: problem for problem in (*problems.PROBLEMS, *held.PROBLEMS)}


@cache
def curves(name: str) -> NDArray[np.float64]:
    problem = KNOWN[name]
    return held.curves(problem) if problem in held.PROBLEMS else problems.curves(problem)


@cache
def reached(name: str) -> NDArray[np.float64]:
    """What every point reaches in the mean of its training seeds, (*grid,)."""
    problem = KNOWN[name]
    return held.reached(problem) if problem in held.PROBLEMS else problems.curves(problem)[..., -1]


@cache
def config_at(name: str, point: Point) -> dict[str, Any]:
    return make_config(KNOWN[name].settings(point)).model_dump(mode="json")


@cache
def points_of(name: str) -> list[warm.Point]:
    """Every point of the grid."""
    points, axes = KNOWN[name].points(), KNOWN[name].grid
    return [warm.Point(dict(zip(axes, p, strict=True)), place_of(config_at(name, p))) for p in points]


def drawn(name: str, seed: int) -> list[warm.Point]:
    """The points of the grid in an order of the seed's: where nothing is known of a setting, its first is no better."""
    points = points_of(name)
    return [points[place] for place in np.random.default_rng(seed).permutation(len(points))]


class Side:
    """The project's defaults on a study in memory, which begins with what `pasts` know."""

    def __init__(self, problem: Problem, seed: int, pasts: Sequence[Past] = (), pruner: ASHA | None = None) -> None:
        self.study = optuna.create_study(
            direction="maximize", sampler=BoundedTPE(seed=seed), pruner=pruner or ASHA(late=False)
        )
        self._names = names = list(problem.grid)
        for point in problem.known_good:
            self.study.enqueue_trial(dict(zip(names, point, strict=True)))
        found = warm.Knowledge([*pasts], drawn(problem.name, seed))
        if pasts:
            count = warm.queue_learnt(self.study, found)
            self.study.sampler = BoundedTPE(seed=seed, n_startup_trials=STARTUP + count)
        self.doubts = Doubts(self.study, found) if pasts else None
        space = SpaceFile(problems.CURVES, problem.name, _space(problem), train=lambda config: iter(()))
        self._driver = Driver(self.study, space, Rules(trials=10**9))

    def start(self) -> tuple[ActiveTrial, Point]:
        job = self._driver.next()
        assert job is not None
        return job, tuple(job.trial.params[name] for name in self._names)

    def report(self, handle: ActiveTrial, step: int, accuracy: float, last: bool) -> bool:
        if math.isnan(accuracy):
            return self._driver.receive(handle, Failed(handle.attempt, "diverged"))
        measured = {"val_acc": accuracy, "seconds": 1.0}
        goes_on = self._driver.receive(handle, Report(handle.attempt, measured, handle.last.step + 1, last))
        if self.doubts is not None and step == self.doubts.rung:
            self.doubts.look()
        return goes_on


def _space(problem: Problem) -> Callable[[BaseTrial], dict[str, Any]]:
    """The grid by the indices of its axes, whose settings are those that would train."""

    def space(trial: BaseTrial) -> dict[str, Any]:
        return config_at(problem.name, tuple(trial.suggest_int(n, 0, len(v) - 1) for n, v in problem.grid.items()))

    return space


@cache
def past(name: str, seed: int) -> Past:
    """A study of the problem by the defaults, as a later one sees it."""
    problem = KNOWN[name]
    side = Side(problem, seed)
    for _ in efficiency.steps(side, curves(name), LANES, TRIALS):
        pass
    trials = side.study.get_trials(deepcopy=False)
    places = [place_of(TrialRecord(trial).config or {}) for trial in trials]
    return Past(problem.name, places, standings([t.value if t.state == TrialState.COMPLETE else None for t in trials]))


def others(known: Sequence[Problem], same: bool) -> Learn:
    """A study each of the other problems; `same`: those of the same data, too, which count more."""

    def learn(problem: Problem, seed: int) -> list[Past]:
        found = []
        for other in known:
            alike = other.fixed["dataset"] == problem.fixed["dataset"]
            if other != problem and (same or not alike):
                made = past(other.name, FIRST + seed)
                if not strangers(rates_of(point.place for point in points_of(problem.name)), rates_of(made.places)):
                    found.append(replace(made, weight=warm.SAME_DATA if alike else 1.0))
        return found

    return learn


def shuffled(learn: Learn) -> Learn:
    """The same studies, the standings of their trials in another order: they know nothing."""

    def learn_nothing(problem: Problem, seed: int) -> list[Past]:
        random = np.random.default_rng(seed)
        return [replace(each, standing=random.permutation(each.standing)) for each in learn(problem, seed)]

    return learn_nothing


def turned(learn: Learn) -> Learn:
    """The same studies, their best trials the worst."""

    def learn_wrong(problem: Problem, seed: int) -> list[Past]:
        found = learn(problem, seed)
        return [replace(each, standing=each.standing.min() - each.standing) for each in found]

    return learn_wrong


def cap(problem: Problem, lanes: int) -> int:
    return max(CAP, 3 * lanes * problem.epochs)


def cost(side: efficiency.Side, problem: Problem, lanes: int) -> float:
    """Lane-epochs until a whole trial's point is within GAP of the best, in the mean of training seeds; or infinity."""
    means = reached(problem.name)
    target = np.nanmax(means) - GAP - 1e-9
    for at in efficiency.steps(side, curves(problem.name), lanes, ticks=cap(problem, lanes) // lanes):
        if at.last and not math.isnan(at.accuracy) and means[at.point] >= target:
            return float(at.tick * lanes)
    return math.inf


@dataclass
class Cell:
    """A problem at so many lanes: the costs of every side, (seeds,)."""

    problem: Problem
    lanes: int
    costs: dict[str, NDArray[np.float64]]
    promised: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """How far the best of the points that studies of other data promise ends below the best, (seeds,)."""

    @property
    def floor(self) -> int:
        return self.lanes * self.problem.epochs

    @property
    def cap(self) -> int:
        return cap(self.problem, self.lanes)


HABITS = {"habit, factor 2": 2, "habit, factor 4": 4}
COLD, OTHER, ALL, NOTHING, WRONG = "cold", "other data", "all others", "shuffled", "turned"


def _learnt(problem: Problem, learn: Learn, seed: int) -> Side:
    return Side(problem, seed, learn(problem, seed))


def short(problem: Problem, pasts: Sequence[Past], seed: int) -> float:
    """How far the best of the points that the studies promise ends below the problem's best; infinity: none ends."""
    best = warm.Knowledge([*pasts], drawn(problem.name, seed)).best(warm.POINTS)
    ends = [reached(problem.name)[tuple(point.params[name] for name in problem.grid)] for point, _ in best]
    ended = [end for end in ends if not math.isnan(end)]
    return float(np.nanmax(reached(problem.name)) - max(ended, default=-math.inf))


def measure(problem: Problem, lanes: int, seeds: int, known: Sequence[Problem]) -> Cell:
    other = others(known, same=False)
    learns = {OTHER: other, ALL: others(known, same=True), NOTHING: shuffled(other), WRONG: turned(other)}
    sides: dict[str, Callable[[int], efficiency.Side]] = {
        name: partial(efficiency.Habit, problem, reduction_factor=factor) for name, factor in HABITS.items()
    }
    sides[COLD] = partial(Side, problem)
    sides |= {name: partial(_learnt, problem, learn) for name, learn in learns.items()}
    found, numbers = {}, range(SEEDS, SEEDS + seeds)
    for name, make in sides.items():
        found[name] = np.array([cost(make(seed), problem, lanes) for seed in numbers])
    promised = [short(problem, other(problem, seed), seed) for seed in numbers]
    return Cell(problem, lanes, found, np.array(promised))


def replays(
    cost: Callable[..., float], variants: Sequence[tuple[Any, ...]], seeds: int, lanes: Sequence[int]
) -> Iterator[tuple[Problem, int, list[NDArray[np.float64]]]]:
    """Of each recorded problem and number of lanes: ``cost(name, seed, lanes, *variant)`` of each variant, (seeds,)."""
    numbers = range(SEEDS, SEEDS + seeds)
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), initializer=efficiency.quiet) as pool:
        for problem in [*problems.PROBLEMS, *held.recorded()]:
            for count in lanes:
                asked = [[pool.submit(cost, problem.name, seed, count, *each) for seed in numbers] for each in variants]
                yield problem, count, [np.array([one.result() for one in found]) for found in asked]


def parser_of(about: str | None, seeds: int = 20) -> argparse.ArgumentParser:
    """Of a bench of replays: how many seeds, and which numbers of lanes."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--lanes", type=int, nargs="+", default=[2, 16])
    return parser


def main() -> None:
    from benchmarks.warm_table import lines  # late: it imports scipy

    parser = parser_of(__doc__, seeds=40)
    parser.add_argument("--held", action="store_true", help="the problems that were held back, with all as sources")
    arguments = parser.parse_args()
    new = held.recorded() if arguments.held else ()
    asked = [(problem, lanes) for problem in new or problems.PROBLEMS for lanes in arguments.lanes]
    cells = []
    with ProcessPoolExecutor(initializer=efficiency.quiet) as pool:
        measured = partial(measure, seeds=arguments.seeds, known=[*problems.PROBLEMS, *new])
        for cell in pool.map(measured, *zip(*asked, strict=True)):
            cells.append(cell)
            said = [f"{name} {spread(costs)}" for name, costs in cell.costs.items()]
            print(cell.problem.name, cell.lanes, cell.floor, *said, sep=", ", flush=True)
    title = "Warm start, problems held back" if arguments.held else "Warm start"
    results.write(title, results.command("warm"), lines(cells, bool(new)))


if __name__ == "__main__":
    main()
