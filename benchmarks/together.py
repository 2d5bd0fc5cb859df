"""How often the report finds settings that act together, on the recorded problems: python -m benchmarks.together

A study of random points or of Optuna's TPE, and beside the settings that the problem has one that does nothing: how
often it is said to act with another tells how often the comment is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study

from benchmarks.problems import PROBLEMS, Problem, curves
from search.analysis.together import together

RANGES: dict[str, Any] = {
    "lr": FloatDistribution(1e-3, 1, log=True),
    "weight_decay": FloatDistribution(1e-6, 1e-2, log=True),
    "step_size": IntDistribution(3, 9, step=3),
    "gamma": CategoricalDistribution((0.1, 0.3, 0.5)),
    "nothing": FloatDistribution(0, 1),
}
SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "random": lambda seed: RandomSampler(seed=seed),
    "TPE": lambda seed: TPESampler(seed=seed),
}


def replayed(problem: Problem, last: Any, sampler: BaseSampler, trials: int) -> Study:
    """A study of the recorded last epochs, (points of the grid), each point at the grid's nearest."""

    def nearest(name: str, value: float) -> int:
        axis, log = np.array(problem.grid[name], dtype=float), name in ("lr", "weight_decay")
        return int(np.argmin(np.abs(np.log(axis) - np.log(value) if log else axis - value)))

    momentum = FloatDistribution(problem.grid["momentum"][0], problem.grid["momentum"][-1])
    made = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(trials):
        trial = made.ask({**RANGES, "momentum": momentum})
        value = float(last[tuple(nearest(name, trial.params[name]) for name in problem.grid)])
        made.tell(trial, value if np.isfinite(value) else 0.0)  # diverged
    return made


def main(studies: int = 100) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print("| problem | sampler | trials | lr with momentum | lr with step_size | a setting that does nothing |")
    print("|---|---|---|---|---|---|")
    for problem in PROBLEMS:
        last = curves(problem)[..., -1]
        for name, sampler in SAMPLERS.items():
            for trials in (32, 64):
                found = Counter[str]()
                for seed in range(studies):
                    made = replayed(problem, last, sampler(seed), trials)
                    pairs = [pair.names for pair in together(made, made.trials)]
                    found.update({" ".join(pair) for pair in pairs} | ({"nothing"} & {n for p in pairs for n in p}))
                cells = (found["lr momentum"], found["lr step_size"], found["nothing"])
                print(f"| {problem.name} | {name} | {trials} | {' | '.join(f'{n} of {studies}' for n in cells)} |")


if __name__ == "__main__":
    main()
