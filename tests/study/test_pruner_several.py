"""ASHA of several objectives: the first fronts go on, and of the last one a net."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import optuna
import pytest
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from search import ASHA
from search.study.pruner import leaders
from search.study.sampler import BoundedTPE

FAIL = TrialState.FAIL


def at_rung(values: Sequence[tuple[float, float]], states: dict[int, TrialState] | None = None) -> Study:
    """Of trials that reported these values, accuracy and megabytes, at epoch 1."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=BoundedTPE())
    for number, found in enumerate(values):
        state = (states or {}).get(number, TrialState.RUNNING)
        curve = {1: found[0]}
        study.add_trial(create_trial(state=state, intermediate_values=curve, user_attrs={"rungs": {"1": list(found)}}))
    return study


def pruned(study: Study, eta: int = 2) -> list[int]:
    asha = ASHA(min_resource=1, reduction_factor=eta)
    return [trial.number for trial in study.get_trials() if asha.prune(study, trial)]


def test_whole_fronts_go_on_first() -> None:
    # 0 and 1 are the front, 2 and 3 the next, 4 and 5 behind them
    values = [(0.9, 5.0), (0.5, 1.0), (0.8, 6.0), (0.4, 2.0), (0.7, 9.0), (0.1, 8.0)]
    assert pruned(at_rung(values), 3) == [2, 3, 4, 5]
    assert pruned(at_rung(values[:4])) == [2, 3]


def test_of_a_front_that_does_not_fit_those_far_from_each_other_go_on() -> None:
    values = [(0.9, 9.0), (0.89, 8.9), (0.5, 5.0), (0.1, 1.0)]
    assert pruned(at_rung(values)) == [1, 2]  # the ends go on, and both objectives count alike
    assert pruned(at_rung(values[:1])) == []


def test_failed_trials_do_not_count_nor_those_that_reported_nothing() -> None:
    values = [(0.9, 5.0), (0.8, 6.0), (0.7, 7.0)]
    assert pruned(at_rung(values, {0: FAIL})) == [2]  # of two, one goes on
    study = at_rung(values)
    study.add_trial(create_trial(state=TrialState.RUNNING, intermediate_values={1: 0.1}))
    assert 3 not in pruned(study)


def test_trials_that_are_equal_go_on_by_number() -> None:
    assert pruned(at_rung([(0.5, 5.0)] * 4)) == [2, 3]


@pytest.mark.parametrize("wanted", range(1, 9))
def test_as_many_lead_as_are_wanted_and_no_leader_is_beaten_by_another_row(wanted: int) -> None:
    losses = np.random.default_rng(wanted).normal(size=(9, 3))
    found = leaders(losses, wanted)
    assert len(found) == len({*found}) == wanted
    for row in set(range(9)) - {*found}:
        assert not any((losses[row] < losses[kept]).all() for kept in found)


def test_tpe_suggests_although_trials_were_pruned_by_their_curves() -> None:
    study = at_rung([(0.1 * n, 1.0 * n) for n in range(15)], dict.fromkeys(range(15), TrialState.PRUNED))
    for number in range(15):
        study.add_trial(
            create_trial(
                values=[0.1, 1.0 * number],
                params={"x": 0.5},
                distributions={"x": optuna.distributions.FloatDistribution(0, 1)},
            )
        )
    assert 0 <= study.ask().suggest_float("x", 0, 1) <= 1
