"""Trials that run here are not read again; what is known of them is what another process reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import event

from search.study.storage import internals, rdb, writing
from search.study.storage.open import connect
from search.study.storage.rdb import Storage, record, together


@pytest.fixture
def opened(url: str) -> Iterator[tuple[Study, Study]]:
    """A study, and the same as another process has it."""
    studies = [optuna.create_study(storage=connect(url), study_name="s", load_if_exists=True) for _ in range(2)]
    yield studies[0], studies[1]
    for study in studies:
        storage: Any = internals.uncached(internals.storage_of(study))
        storage.engine.dispose()


def statements(study: Study) -> list[str]:
    """What is asked of the study's database from now on."""
    storage, found = internals.uncached(internals.storage_of(study)), list[str]()
    assert isinstance(storage, Storage)
    event.listen(storage.engine, "before_cursor_execute", lambda *args: found.append(args[2]))
    return found


def same(one: list[FrozenTrial], other: list[FrozenTrial]) -> bool:
    return repr(one) == repr(other)  # NaN is not equal to itself


def test_each_write_is_known_as_another_process_reads_it(opened: tuple[Study, Study]) -> None:
    study, other = opened
    study.enqueue_trial({"x": 0.5}, user_attrs={"baseline": "B"})
    writes: list[Callable[[Trial], Any]] = [
        lambda trial: trial.suggest_float("x", 0, 1, step=0.25),
        lambda trial: trial.suggest_categorical("y", [None, True, "猫"]),
        lambda trial: trial.suggest_int("z", 1, 64, log=True),
        lambda trial: trial.set_user_attr("epoch", {"1": (1, 2.5), "é": None}),
        lambda trial: trial.report(math.nan, 3),
        lambda trial: trial.report(-math.inf, 1),
        lambda trial: record(trial, {"epoch": {"score": 1}, "other": [1]}, 2, 0.1 + 0.2),
        lambda trial: study._storage.set_trial_system_attr(trial._trial_id, "s", {"a": (1,)}),
    ]
    for _ in range(2):
        trial = study.ask()
        for write in writes:
            write(trial)
            assert same(study.get_trials(), other.get_trials()), study.get_trials()[-1]
            assert same([study._storage.get_trial(trial._trial_id)], [other._storage.get_trial(trial._trial_id)])
    for state, values in ((TrialState.COMPLETE, [math.inf]), (TrialState.FAIL, None)):
        study.tell(trial.number, values, state)
        assert same(study.get_trials(), other.get_trials())
        trial = Trial(study, study.trials[0]._trial_id)


def test_many_that_run_are_one_statement(opened: tuple[Study, Study]) -> None:
    study, _ = opened
    running = [study.ask() for _ in range(40)]
    for trial in running:
        record(trial, {"epoch": {}}, 1, 0.5)
    seen = statements(study)
    before = study.get_trials(deepcopy=False)
    assert len(seen) == 1
    record(running[7], {"epoch": {"score": 2}}, 2, 0.25)
    study.tell(running[9], 0.5)
    del seen[:]
    after = study.get_trials(deepcopy=False)
    assert len(seen) == 1  # the one that ended was read when it did
    assert [len(trials[7].intermediate_values) for trials in (before, after)] == [1, 2]  # the first stays as it was
    assert [trials[9].state for trials in (before, after)] == [TrialState.RUNNING, TrialState.COMPLETE]


def test_what_another_process_does_is_noticed(opened: tuple[Study, Study]) -> None:
    study, other = opened
    first, second, third = (study.ask() for _ in range(3))
    assert len(study.get_trials()) == 3
    other.tell(first.number, state=TrialState.FAIL)  # by hand, in the dashboard
    theirs = other.ask()
    theirs.report(0.75, 1)
    internals.requeue(other, second)
    trials = study.get_trials()
    assert [t.state.name for t in trials] == ["FAIL", "WAITING", "RUNNING", "RUNNING"]
    theirs.report(0.5, 2)
    assert study.get_trials()[3].intermediate_values == {1: 0.75, 2: 0.5}
    with pytest.raises(UpdateFinishedTrialError):
        record(first, {"a": 1}, 1, 0.5)
    with pytest.raises(UpdateFinishedTrialError):
        first.set_user_attr("a", 1)
    other.tell(third.number, 0.5)
    assert study.tell(third, 0.25, skip_if_finished=True).value == 0.5
    assert same(study.get_trials(), other.get_trials())


def test_what_is_written_together_is_one_transaction(opened: tuple[Study, Study], url: str) -> None:
    study, other = opened
    study.ask().suggest_float("x", 0, 1)  # a parameter's first range is compared with the storage's
    seen, trial = statements(study), study.ask()
    created = len(seen)
    with together(trial):
        trial.suggest_float("x", 0, 1)
        trial.set_user_attr("config", {"x": 1})
        assert not other.get_trials()[1].params
        with pytest.raises(TypeError):
            trial.set_user_attr("no JSON", {1, 2})
    assert len(seen) - created <= (2 if url.startswith("postgresql") else 5)
    assert same(study.get_trials(), other.get_trials())

    def raises() -> None:
        with together(trial):
            trial.set_user_attr("before it raised", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        raises()
    assert other.get_trials()[1].user_attrs == {"config": {"x": 1}, "before it raised": 1}
    other.tell(trial.number, 0.5)
    with pytest.raises(UpdateFinishedTrialError), together(trial):
        trial.set_user_attr("late", 1)
    with together(trial):
        pass
    assert same(study.get_trials(), other.get_trials())


def test_a_write_that_fails_is_not_taken_for_written(opened: tuple[Study, Study]) -> None:
    study, other = opened
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    with pytest.raises(ValueError, match="different distribution"):
        study._storage.set_trial_param(trial._trial_id, "x", 0, CategoricalDistribution((1, 2)))
    with pytest.raises(ValueError, match="step"):
        record(trial, {"a": 1}, 2**31, 0.5)
    assert same(study.get_trials(), other.get_trials())


def test_a_database_of_another_kind_is_written_as_optuna_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "INSERT", {})
    study, other = (
        optuna.create_study(storage=connect("sqlite:///studies.db"), study_name="s", load_if_exists=True)
        for _ in range(2)
    )
    for _ in range(2):
        trial = study.ask({"x": FloatDistribution(0, 1), "y": CategoricalDistribution((None, "a"))})
        with together(trial):
            trial.suggest_int("z", 1, 3)
            trial.set_user_attr("config", {"x": 1})
        record(trial, {"epoch": {}}, 1, 0.5)
        study._storage.set_trial_system_attr(trial._trial_id, "s", 1)
        study.tell(trial, 0.5)
        rdb.set_system_attrs(study, {"note": "n", "ver": 1})
        assert same(study.get_trials(), other.get_trials())
    assert internals.system_attrs(other) == {"note": "n", "ver": 1}
    assert len(other.trials[1].params) == 3


def test_attributes_of_a_study_are_set_at_once(opened: tuple[Study, Study]) -> None:
    study, other = opened
    rdb.set_system_attrs(study, {"a": "x", "b": 1})
    seen = statements(study)
    rdb.set_system_attrs(study, {"b": 2, "c": None})
    assert len(seen) == 1
    assert internals.system_attrs(other) == {"a": "x", "b": 2, "c": None}
