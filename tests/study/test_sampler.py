"""The default sampler: TPE's own suggestions in a study of ordinary length, and few trials looked at in a long one."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.study.sampler import BEST, LATEST, BoundedTPE, bounded

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
