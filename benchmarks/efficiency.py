"""Search efficiency: recorded learning curves, replayed through this project's sampler and pruner and through Ray's.

python -m benchmarks.efficiency              the table of benchmarks/RESULTS.md
python -m benchmarks.efficiency --sweep      samplers, reduction factors and first rungs, to choose the defaults by

The cost of a search is counted in lane-epochs: lanes (workers) times the epochs that passed until a trial reached its
last epoch with an accuracy within 0.5% or 0.2% (of 1, absolute) of the best point of the whole grid. What is replayed
is the real code: this project's Driver, study and ASHA; Ray's own OptunaSearch and ASHAScheduler objects.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import math
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

from benchmarks import results
from benchmarks.judged import CAP, GAPS, table, verdict
from benchmarks.problems import PROBLEMS, Point, Problem, curves
from search.engine.driver import Driver
from search.engine.messages import Failed, Report
from search.engine.rules import Rules
from search.engine.trial import ActiveTrial
from search.space.file import SpaceFile
from search.space.space import SearchSpace
from search.study.pruner import ASHA
from search.study.study import open_study

LANES = 2


class Side(Protocol):
    """One way to search: hands out points, hears of each epoch, says whether the trial goes on."""

    def start(self) -> tuple[Any, Point]: ...
    def report(self, handle: Any, step: int, accuracy: float, last: bool) -> bool: ...


class Ours:
    """The project's driver on a study in memory, with `sampler` and `pruner`."""

    def __init__(self, problem: Problem, sampler: BaseSampler, pruner: BasePruner) -> None:
        study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
        self._names = list(problem.grid)
        for point in problem.known_good:
            study.enqueue_trial(dict(zip(self._names, point, strict=True)))
        self._driver = Driver(study, space_of(problem), Rules(trials=10**9))

    def start(self) -> tuple[ActiveTrial, Point]:
        job = self._driver.next()
        assert job is not None
        return job, tuple(job.settings[name] for name in self._names)

    def report(self, handle: ActiveTrial, step: int, accuracy: float, last: bool) -> bool:
        if math.isnan(accuracy):  # as the trainer raises it, and the worker passes it on
            return self._driver.receive(handle, Failed(handle.attempt, "diverged"))
        measured = {"val_acc": accuracy, "seconds": 1.0}
        return self._driver.receive(handle, Report(handle.attempt, measured, handle.last.step + 1, last))


class Habit:
    """Ray's OptunaSearch and ASHAScheduler, called as its TuneController (2.60) calls them."""

    def __init__(self, problem: Problem, seed: int, reduction_factor: int, grace_period: int = 1) -> None:
        from ray.tune.schedulers import ASHAScheduler
        from ray.tune.search.optuna import OptunaSearch

        names = list(problem.grid)
        space = problem.distributions()
        known = [dict(zip(names, point, strict=True)) for point in problem.known_good]
        self._search = OptunaSearch(space, metric="val_acc", mode="max", points_to_evaluate=known, seed=seed)
        # It looks at nothing of a trial but its id, and not at the controller.
        self._asha: Any = ASHAScheduler(
            metric="val_acc",
            mode="max",
            max_t=problem.epochs,
            grace_period=grace_period,
            reduction_factor=reduction_factor,
        )
        self._names, self._chance, self._count = names, 1 / problem.classes, 0

    def start(self) -> tuple[Any, Point]:
        self._count += 1
        trial = SimpleNamespace(trial_id=str(self._count))
        found = self._search.suggest(trial.trial_id)
        assert found is not None
        self._asha.on_trial_add(None, trial)
        return trial, tuple(found[name] for name in self._names)

    def report(self, handle: Any, step: int, accuracy: float, last: bool) -> bool:
        # A script that looks for no NaN measures chance: argmax of NaN is class 0.
        value = self._chance if math.isnan(accuracy) else accuracy
        result = {"val_acc": value, "training_iteration": step}
        if self._asha.on_trial_result(None, handle, result) == "CONTINUE" and not last:
            self._search.on_trial_result(handle.trial_id, result)
            return True
        self._search.on_trial_complete(handle.trial_id, result)
        return False


class Step(NamedTuple):
    """An epoch that a side was told of."""

    tick: int
    """So many epochs have passed in each lane."""
    point: Point
    number: int
    accuracy: float
    last: bool
    goes_on: bool


def steps(
    side: Side, table: NDArray[np.float64], lanes: int, trials: int | None = None, ticks: int | None = None
) -> Iterator[Step]:
    """The epochs of a search in the order in which they come: of so many `trials`, in so many `ticks`, or for ever.

    All epochs take the same time, and all lanes are busy while there are trials. `table`: as in `replay`.
    """
    running: list[tuple[Any, Point, int] | None] = [None] * lanes
    begun = 0
    for tick in itertools.islice(itertools.count(1), ticks):
        for lane, held in enumerate(running):
            if held is None:
                if begun == trials:
                    continue
                begun += 1
            handle, point, step = held or (*side.start(), 0)
            accuracy, last = float(table[(*point, step)]), step + 1 == table.shape[-1]
            goes_on = side.report(handle, step + 1, accuracy, last)
            running[lane] = (handle, point, step + 1) if goes_on else None
            yield Step(tick, point, step + 1, accuracy, last, goes_on)
        if begun == trials and not any(running):
            return


def quiet() -> None:
    """Let a replay say nothing of Optuna's and Ray's."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def replay(side: Side, table: NDArray[np.float64], lanes: int, cap: int = CAP) -> list[tuple[float, float]]:
    """For each of GAPS, lane-epochs until a whole trial came so near the best, and the share that stopped trials took.

    Infinite and 0 beyond `cap` lane-epochs. `table`: accuracy by point and epoch, (*grid, epochs).
    """
    targets = [np.nanmax(table[..., -1]) - gap - 1e-9 for gap in GAPS]
    costs = [(math.inf, 0.0)] * len(GAPS)
    stopped = 0
    for at in steps(side, table, lanes, ticks=cap // lanes):
        if at.last and not math.isnan(at.accuracy):
            now = float(at.tick * lanes), stopped / (at.tick * lanes)
            costs = [min(c, now) if at.accuracy >= t else c for c, t in zip(costs, targets, strict=True)]
        stopped += 0 if at.goes_on or at.last else at.number
        if costs[-1][0] < math.inf:
            break
    return costs


def space_of(problem: Problem) -> SpaceFile:
    """The grid as a space file; the settings are indices, and nothing trains."""
    space = SearchSpace(**problem.distributions(), epochs=problem.epochs)
    return SpaceFile(Path(problem.name), problem.name, space, train=lambda config: iter(()))


def defaults(problem: Problem) -> tuple[BaseSampler, BasePruner]:
    """What `search run` gives a study whose space file names neither sampler nor pruner."""
    with tempfile.TemporaryDirectory() as folder:
        study = open_study(f"sqlite:///{folder}/studies.db", problem.name, space_of(problem))
        return study.sampler, study.pruner


def seeded(sampler: BaseSampler, seed: int) -> BaseSampler:
    """A copy of `sampler` whose random numbers begin at `seed`; Optuna offers that in the constructor only."""
    sampler = copy.deepcopy(sampler)
    for part in (sampler, *vars(sampler).values()):
        if isinstance(part, BaseSampler) and hasattr(part, "_rng"):
            part._rng.rng.seed(seed)
    return sampler


Make = Callable[[Problem, int], Side]
"""problem, seed -> a fresh side"""


def ours_by_default(problem: Problem, seed: int) -> Side:
    sampler, pruner = defaults(problem)
    return Ours(problem, seeded(sampler, seed), pruner)


def ours_with(problem: Problem, seed: int, sampler: Callable[..., BaseSampler], pruner: BasePruner) -> Side:
    return Ours(problem, sampler(seed=seed), pruner)


def habit(problem: Problem, seed: int, reduction_factor: int) -> Side:
    return Habit(problem, seed, reduction_factor)


SIDES: dict[str, Make] = {
    "this project's defaults": ours_by_default,
    "OptunaSearch + ASHAScheduler(reduction_factor=2), as in PyTorch's tutorial": partial(habit, reduction_factor=2),
    "OptunaSearch + ASHAScheduler(), Ray's defaults": partial(habit, reduction_factor=4),
    "random search, no pruning": partial(ours_with, sampler=RandomSampler, pruner=NopPruner()),
}


def sweep() -> dict[str, Make]:
    """Samplers with one pruner, and pruners with one sampler."""
    # Optuna 5's TPE is multivariate and has a constant liar by default.
    samplers: dict[str, Callable[..., BaseSampler]] = {
        "TPE": TPESampler,
        "TPE, 5 startup trials": partial(TPESampler, n_startup_trials=5),
        "TPE, univariate": partial(TPESampler, multivariate=False),
        "GP": GPSampler,
        "random": RandomSampler,
    }
    pruners: list[BasePruner] = [ASHA(first, factor) for first in (1, 2, 3, 4, 6) for factor in (2, 3, 4)]
    base = ASHA()
    return {
        **{f"{name}, {base}": partial(ours_with, sampler=make, pruner=base) for name, make in samplers.items()},
        **{f"TPE, {pruner}": partial(ours_with, sampler=TPESampler, pruner=pruner) for pruner in pruners},
        "TPE, no pruning": partial(ours_with, sampler=TPESampler, pruner=NopPruner()),
    }


@dataclass(frozen=True)
class Task:
    """One replay of one side, which a process of its own can do."""

    problem: Problem
    make: Make
    seed: int
    lanes: int

    def run(self) -> list[tuple[float, float]]:
        quiet()
        return replay(self.make(self.problem, self.seed), curves(self.problem), self.lanes)


def measure(sides: dict[str, Make], seeds: int, lanes: int) -> Iterator[tuple[Problem, str, NDArray[np.float64]]]:
    """Each problem, each side, and what `replay` found, (seeds, gaps, 2)."""
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for problem in PROBLEMS:
            found = {
                name: [pool.submit(Task(problem, make, seed, lanes).run) for seed in range(seeds)]
                for name, make in sides.items()
            }
            for name, futures in found.items():
                yield problem, name, np.array([future.result() for future in futures])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--lanes", type=int, default=LANES)
    parser.add_argument("--sweep", action="store_true", help="print the sweep; RESULTS.md stays as it is")
    arguments = parser.parse_args()
    if arguments.sweep:
        table(list(measure(sweep(), arguments.seeds, arguments.lanes)), f"TPE, {ASHA()}")
        return
    measured = list(measure(SIDES, arguments.seeds, arguments.lanes))
    lines = [f"{arguments.seeds} seeds, {arguments.lanes} lanes; median (quartiles).", ""]
    lines += [f"- `{problem.name}`: {problem.what}; {math.prod(problem.shape)} points" for problem in PROBLEMS]
    own, *others = SIDES
    habits = [name for name in others if name.startswith("OptunaSearch")]
    lines += ["", *table(measured, own), "", *verdict(measured, own, habits, arguments.lanes)]
    results.write("Search efficiency", "python -m benchmarks.efficiency", lines)


if __name__ == "__main__":
    main()
