"""The default sampler: TPE's own suggestions in a study of ordinary length, and few trials looked at in a long one."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, PartialFixedSampler, RandomSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.study.sampler import BEST, LATEST, BoundedTPE, bounded, go_on

RANGES = {"x": FloatDistribution(0, 1), "kind": CategoricalDistribution(("a", "b"))}


def trial(number: int, state: TrialState = TrialState.COMPLETE) -> FrozenTrial:
    x = number * 0.618 % 1
    value = x if state == TrialState.COMPLETE else None
    made = create_trial(state=state, value=value, params={"x": x, "kind": "ab"[number % 2]}, distributions=RANGES)
    made.number = number
    return made


def study(count: int, sampler: TPESampler) -> Study:
    made = optuna.create_study(direction="maximize", sampler=sampler)
    made.add_trials([trial(number) for number in range(count)])
    return made


def suggested(made: Study) -> list[object]:
    found: list[object] = []
    for _ in range(3):
        asked = made.ask()
        found += [asked.suggest_float("x", 0, 1), asked.suggest_categorical("kind", ("a", "b"))]
        made.tell(asked, 0.5)
    return found


@pytest.mark.parametrize("count", [0, 40, 997])
def test_up_to_a_thousand_trials_it_is_tpe(count: int) -> None:
    tpe, ours = study(count, TPESampler(seed=1)), study(count, BoundedTPE(seed=1))
    assert suggested(tpe) == suggested(ours)


def test_the_best_and_the_latest_are_looked_at_in_their_order() -> None:
    trials = [trial(number, TrialState.PRUNED if number % 3 else TrialState.COMPLETE) for number in range(5000)]
    for direction, sign in ((StudyDirection.MAXIMIZE, 1), (StudyDirection.MINIMIZE, -1)):
        kept = bounded(trials, [direction])
        assert [t.number for t in kept] == sorted(t.number for t in kept)
        assert kept[BEST:] == trials[-LATEST:]
        values = sorted(sign * (t.value or 0) for t in trials[:-LATEST] if t.state == TrialState.COMPLETE)
        assert sorted(sign * (t.value or 0) for t in kept[:BEST]) == values[-BEST:]
    assert bounded(trials, [StudyDirection.MAXIMIZE] * 2) == trials


class Drawn(BaseSampler):
    """A sampler of one's own, with every kind of random numbers."""

    def __init__(self) -> None:
        self.parts: dict[str, Any] = {"numbers": [np.random.default_rng(1), random.Random(1)]}

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        return {}

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        return sum(float(source.random()) for source in self.parts["numbers"]) / 2


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomSampler(seed=7),
        lambda: TPESampler(seed=7),
        lambda: NSGAIISampler(seed=7),
        lambda: PartialFixedSampler({"y": 0.5}, RandomSampler(seed=7)),
        Drawn,
    ],
)
def test_a_seeded_sampler_that_goes_on_does_not_repeat_itself(make: Callable[[], BaseSampler]) -> None:
    def drawn(trials: int) -> list[float]:
        sampler = make()
        go_on(sampler, trials)
        study = optuna.create_study(sampler=sampler)
        return [study.ask().suggest_float("x", 0, 1) for _ in range(3)]

    assert drawn(0)[0] == optuna.create_study(sampler=make()).ask().suggest_float("x", 0, 1)
    assert drawn(3) == drawn(3)
    assert len({*drawn(0), *drawn(3), *drawn(4)}) == 9
