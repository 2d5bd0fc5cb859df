from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Literal, get_args

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from search import ASHA, Float, SearchSpace
from search.space.file import SpaceFile
from search.study import pruner
from search.study.pruner import audited, may_stop
from search.study.study import _pruner

Direction = Literal["minimize", "maximize"]
Curve = dict[int, float]
Values = Sequence[float | tuple[float, TrialState]]


def trial(curve: Curve, state: TrialState = TrialState.RUNNING) -> FrozenTrial:
    value = curve[max(curve)] if state == TrialState.COMPLETE else None
    return create_trial(
        state=state,
        value=value,
        params={"x": 0.5},
        distributions={"x": FloatDistribution(0, 1)},
        intermediate_values=curve,
    )


def study_of(curves: Sequence[FrozenTrial], direction: Direction = "maximize", storage: str | None = None) -> Study:
    study = optuna.create_study(direction=direction, storage=storage, study_name="s")
    study.add_trials(curves)
    return study


def pruned(study: Study, pruner: ASHA) -> list[bool]:
    return [pruner.prune(study, each) for each in study.get_trials()]


def at_rung(values: Values, direction: Direction = "maximize", eta: int = 4) -> list[bool]:
    """Whether trials with these values at the first rung are pruned."""
    trials = [trial({1: v[0]}, v[1]) if isinstance(v, tuple) else trial({1: v}) for v in values]
    return pruned(study_of(trials, direction), ASHA(1, eta))


@pytest.mark.parametrize(
    ("first", "eta", "rungs"), [(1, 4, [1, 4, 16, 64]), (2, 3, [2, 6, 18, 54]), (5, 2, [5, 10, 20, 40, 80])]
)
def test_rungs_are_at_powers_of_eta(first: int, eta: int, rungs: list[int]) -> None:
    assert [step for step in range(101) if ASHA(first, eta).is_rung(step)] == rungs


def test_by_default_half_go_on_from_the_fourth_epoch() -> None:
    assert [step for step in range(40) if ASHA().is_rung(step)] == [4, 8, 16, 32]


@pytest.mark.parametrize(("late", "epochs", "stopped"), [(True, 10, True), (False, 10, False), (False, 16, True)])
@pytest.mark.parametrize("stored", [True, False])
def test_a_trial_is_not_stopped_late_where_its_length_is_known(
    late: bool, epochs: int, stopped: bool, stored: bool
) -> None:
    study = study_of([trial({8: 0.5}), trial({8: 0.1})])
    poor = study.get_trials()[1]
    if stored:
        poor.set_user_attr("config", {"epochs": epochs})
    assert ASHA(late=late).prune(study, poor) == (stopped or not stored)


def test_nan_is_pruned_late_too() -> None:
    study = study_of([trial({8: 0.5}), trial({8: math.nan})])
    poor = study.get_trials()[1]
    poor.set_user_attr("config", {"epochs": 10})
    assert ASHA(late=False).prune(study, poor)


def test_what_search_run_chooses_by_itself_stops_nobody_late() -> None:
    space = SpaceFile(Path("space.py"), "space", SearchSpace(x=Float(0, 1), epochs=10), lambda config: iter(()))
    assert repr(_pruner(space)) == "ASHA(min_resource=4, reduction_factor=2, late=False)"


def test_the_best_of_eta_go_on() -> None:
    assert at_rung([0.1, 0.5, 0.3, 0.8, 0.2, 0.7, 0.4, 0.6]) == [True, True, True, False, True, False, True, True]
    # Seven make one place, not two: a trial counts once.
    assert at_rung([0.1, 0.5, 0.3, 0.8, 0.2, 0.7, 0.4]) == [True, True, True, False, True, True, True]
    assert at_rung([0.1, 0.5, 0.3, 0.8], eta=2) == [True, False, True, False]


def test_minimising_keeps_the_lowest() -> None:
    assert at_rung([0.1, 0.5, 0.3, 0.8], "minimize") == [False, True, True, True]


def test_the_first_at_a_rung_goes_on_and_of_few_only_the_best() -> None:
    assert at_rung([0.0]) == [False]
    assert at_rung([0.2, 0.1]) == [False, True]


def test_equal_values_stand_or_fall_together() -> None:
    assert at_rung([0.5, 0.5, 0.5, 0.5]) == [False] * 4
    assert at_rung([0.5, 0.5, 0.5, 0.9]) == [True, True, True, False]


def test_nan_is_pruned_at_any_epoch_and_counts_for_nobody() -> None:
    assert at_rung([math.nan]) == [True]
    assert pruned(study_of([trial({1: 0.5, 2: math.nan})]), ASHA(1, 4)) == [True]
    assert at_rung([0.9, 0.8, math.nan, math.nan], eta=2) == [False, True, True, True]


def test_failed_trials_do_not_count_all_others_do() -> None:
    for state in (TrialState.FAIL, TrialState.PRUNED, TrialState.COMPLETE, TrialState.WAITING):
        better = at_rung([0.5, (0.9, state)])[0]
        assert better == (state != TrialState.FAIL), state
    # Nor do they make room: two of four go on, but of two and two failed ones, one.
    assert at_rung([0.9, 0.8, (0.1, TrialState.FAIL), (0.1, TrialState.FAIL)], eta=2)[:2] == [False, True]
    assert at_rung([0.9, 0.8, (0.1, TrialState.PRUNED), (0.1, TrialState.PRUNED)], eta=2)[:2] == [False, False]


def test_between_rungs_and_before_the_first_epoch_nothing_is_pruned() -> None:
    study = study_of([trial({4: 0.9, 5: 0.9}), trial({4: 0.1, 5: 0.1}), trial({})])
    assert pruned(study, ASHA(1, 4)) == [False, False, False]


def test_a_rung_compares_what_was_reported_there_not_what_came_later() -> None:
    study = study_of([trial({1: 0.9, 2: 0.0, 3: 0.0, 4: 0.0}), trial({1: 0.5})])
    assert pruned(study, ASHA(1, 4)) == [False, True]


def test_asking_again_and_after_the_storage_was_reopened_gives_the_same_answer(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    study = study_of([trial({1: v / 10}) for v in range(9)], storage=url)
    first = pruned(study, ASHA(1, 3))
    assert first == [True] * 6 + [False] * 3
    assert pruned(study, ASHA(1, 3)) == first
    again = optuna.load_study(study_name="s", storage=url)
    assert pruned(again, ASHA(1, 3)) == first
    assert all(not each.system_attrs for each in again.get_trials())  # it writes nothing


@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5, math.nan]), st.sampled_from(["RUNNING", "PRUNED", "FAIL"])),
        min_size=1,
        max_size=12,
    ),
    st.randoms(use_true_random=False),
    st.sampled_from(get_args(Direction)),
    st.integers(2, 4),
)
def test_a_decision_depends_on_the_values_and_not_on_their_order(
    values: list[tuple[float, str]],
    random: Random,
    direction: Direction,
    eta: int,
) -> None:
    order = list(range(len(values)))
    random.shuffle(order)
    trials: Values = [(value, TrialState[state]) for value, state in values]
    decisions = at_rung(trials, direction, eta)
    assert at_rung([trials[i] for i in order], direction, eta) == [decisions[i] for i in order]


def test_it_works_where_users_of_optuna_would_put_it() -> None:
    def objective(running: optuna.Trial) -> float:
        x = running.suggest_float("x", 0, 1)
        for step in range(1, 5):
            running.report(x, step)
            if running.should_prune():
                raise optuna.TrialPruned
        return x

    study = optuna.create_study(
        direction="maximize", pruner=ASHA(1, 2), sampler=optuna.samplers.GridSampler({"x": [0.2, 0.4, 0.6]}, seed=0)
    )
    for x in (0.6, 0.2, 0.7):
        study.enqueue_trial({"x": x})
    study.optimize(objective, n_trials=3)
    assert [each.state.name for each in study.trials] == ["COMPLETE", "PRUNED", "COMPLETE"]


@pytest.mark.parametrize(("first", "eta"), [(0, 4), (1, 1)])
def test_impossible_settings(first: int, eta: int) -> None:
    with pytest.raises(ValueError, match=r"min_resource=0|reduction_factor=1"):
        ASHA(first, eta)


def test_what_ran_on_for_the_audit_is_no_rival_after_its_end() -> None:
    """The trial with 0.5 would be second of three at epoch 2, where one goes on, whether or not others were audited."""
    beyond = trial({1: 0.1, 2: 0.1})
    beyond.user_attrs["audited"] = 1
    rivals = [trial({1: 0.9, 2: 0.9}), trial({1: 0.6, 2: 0.5}), trial({1: 0.5, 2: 0.4})]
    without = pruned(study_of(rivals), ASHA(2, 2))
    assert without == [False, True, True]
    assert pruned(study_of([*rivals, beyond]), ASHA(2, 2))[:3] == without
    beyond.user_attrs["audited"] = 2
    assert pruned(study_of([*rivals, beyond]), ASHA(2, 2))[:3] == [False, False, True]


def test_the_audit_draws_its_share_the_same_way_every_time() -> None:
    drawn = [audited("study", number, 0.05) for number in range(10_000)]
    assert 400 < sum(drawn) < 600
    assert drawn == [audited("study", number, 0.05) for number in range(10_000)]
    assert drawn != [audited("another", number, 0.05) for number in range(10_000)]
    assert [any(audited("study", n, 0) for n in range(99)), all(audited("study", n, 1) for n in range(99))] == [0, 1]


def test_a_pruner_that_never_stops_a_trial_is_known() -> None:
    assert may_stop(ASHA(4), 5)
    assert may_stop(ASHA(4), None)
    assert may_stop(optuna.pruners.MedianPruner(), 2)
    assert not may_stop(ASHA(4), 4)
    assert may_stop(ASHA(4, late=False), 8)
    assert not may_stop(ASHA(4, late=False), 7)
    assert not may_stop(optuna.pruners.NopPruner(), None)


def slow(study: Study, trial: FrozenTrial, eta: int) -> bool:
    """The decision at the trial's last epoch as the paper words it: by all that was ever reported there."""
    step, sign = trial.last_step, 1 if study.direction.name == "MAXIMIZE" else -1
    assert step is not None
    reported = [
        sign * other.intermediate_values[step]
        for other in study.get_trials(deepcopy=False)
        if step in other.intermediate_values
        and other.state != TrialState.FAIL
        and step <= other.user_attrs.get("audited", step)
    ]
    value = sign * trial.intermediate_values[step]
    reported += [] if trial.user_attrs.get("audited", step) >= step and trial.state != TrialState.FAIL else [value]
    return value < sorted(reported, reverse=True)[max(1, len(reported) // eta) - 1]


ENDS = st.sampled_from([None, None, None, "COMPLETE", "PRUNED", "FAIL", "WAITING"])


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6), ENDS, st.booleans()), max_size=40),
    st.sampled_from(get_args(Direction)),
    st.integers(2, 4),
)
@settings(max_examples=60, deadline=None)
def test_what_it_remembers_changes_no_decision(
    happens: list[tuple[int, int, str | None, bool]], direction: Direction, eta: int
) -> None:
    """Trials of a driver's day: each line reports an epoch of one of those that run, or ends one and begins another."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=direction, pruner=ASHA(1, eta))
    live = [study.ask() for _ in range(6)]
    for place, value, end, beyond in happens:
        running = live[place]
        step = len(running._cached_frozen_trial.intermediate_values) + 1
        running.report(value / 6, step)
        if beyond and "audited" not in running.user_attrs:
            running.set_user_attr("audited", step)
        if ASHA(1, eta).is_rung(step):
            here = study.get_trials()[running.number]
            assert running.should_prune() == slow(study, here, eta)
            again = pickle.loads(pickle.dumps(study))  # noqa: S301 - our own; another process, which remembers nothing
            assert again.pruner.prune(again, here) == running.should_prune()
        if end == "WAITING":
            study._storage.set_trial_state_values(running._trial_id, TrialState.WAITING)
        elif end is not None:
            study.tell(running, value / 6 if end == "COMPLETE" else None, state=TrialState[end])
        if end is not None:
            live[place] = study.ask()


def test_of_trials_that_have_ended_none_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    real = pruner._Rung._reported

    def reported(rung: pruner._Rung, trial: FrozenTrial) -> float | None:
        looked.append(trial.number)
        return real(rung, trial)

    monkeypatch.setattr(pruner._Rung, "_reported", reported)
    study = study_of([trial({1: number / 300}, TrialState.PRUNED) for number in range(300)])
    decisions = []
    for score in (0.2, 0.9):
        running = study.ask()
        running.report(score, 1)
        decisions.append(ASHA(1, 2).prune(study, study.get_trials()[running.number]))
        study.tell(running, state=TrialState.PRUNED)
    assert decisions == [True, False]
    assert looked == [*range(301), 300, 301]
