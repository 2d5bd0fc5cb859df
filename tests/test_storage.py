"""The storage reads what Optuna's own reads."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from search.storage import Storage

URL = "sqlite:///studies.db"
RANGES: dict[str, Any] = {
    "lr": FloatDistribution(1e-4, 1, log=True),
    "step": IntDistribution(5, 25, step=5),
    "weights": CategoricalDistribution((None, "DEFAULT", 3)),
}


def fill(study: Study) -> None:
    """Trials in every state, one with each thing that a trial can hold."""
    began = datetime(2026, 3, 1, 12)
    whole: dict[str, Any] = {
        "params": {"weights": None, "step": 10, "lr": 0.1},
        "distributions": RANGES,
        "user_attrs": {"config": {"x": [1, None]}, "é": "猫"},
        "system_attrs": {"fixed": {"y": 1.5}},
        "intermediate_values": {3: math.inf, 1: 0.5, 2: -math.inf},
    }
    for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.WAITING):
        value = 0.25 if state == TrialState.COMPLETE else None
        trial = create_trial(state=state, value=value, **whole)
        trial.datetime_start = None if state == TrialState.WAITING else began
        trial.datetime_complete = began + timedelta(seconds=1.5) if state.is_finished() else None
        study.add_trial(trial)
    study.add_trial(create_trial(value=math.inf))
    study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values={0: math.nan}))


def test_trials_are_read_as_optuna_reads_them() -> None:
    study = optuna.create_study(storage=RDBStorage(URL), study_name="made")
    fill(study)
    fill(optuna.create_study(storage=RDBStorage(URL), study_name="another"))
    expected = optuna.load_study(study_name="made", storage=RDBStorage(URL)).get_trials()
    read = optuna.load_study(study_name="made", storage=Storage(URL)).get_trials()
    assert len(read) == 6
    assert read[:5] == expected[:5]
    assert repr(read[5]) == repr(expected[5])  # NaN is not equal to itself


def test_several_objectives_and_none() -> None:
    study = optuna.create_study(storage=RDBStorage(URL), study_name="two", directions=["minimize", "maximize"])
    storage = Storage(URL)
    assert optuna.load_study(study_name="two", storage=storage).get_trials() == []
    study.add_trials([create_trial(values=[3.0, 1.0]), create_trial(state=TrialState.FAIL)])
    assert [trial.values for trial in optuna.load_study(study_name="two", storage=storage).trials] == [[3.0, 1.0], None]


def test_a_study_that_grows_is_read_on() -> None:
    study = optuna.create_study(storage=Storage(URL), study_name="grows")
    for _ in range(2):
        trial = study.ask()
        trial.report(0.5, 1)
        assert [t.state for t in study.trials][-1] == TrialState.RUNNING
        study.tell(trial, 0.5)
        assert {t.state for t in study.trials} == {TrialState.COMPLETE}
    assert [t.number for t in study.trials] == [0, 1]
    assert study.trials == optuna.load_study(study_name="grows", storage=RDBStorage(URL)).trials


def test_a_study_that_is_gone_is_an_error() -> None:
    storage = Storage(URL)
    study = optuna.create_study(storage=storage, study_name="gone")
    optuna.delete_study(study_name="gone", storage=storage)
    with pytest.raises(KeyError):
        study.get_trials()
    assert Path("studies.db").is_file()
