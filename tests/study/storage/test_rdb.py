"""The storage class: it passes Optuna's own tests on each database, and writes once what it has to say twice."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.storages._rdb import models
from optuna.study import Study, StudyDirection
from optuna.testing import pytest_storages
from optuna.testing.pytest_storages import StorageTestCase
from optuna.trial import TrialState, create_trial
from sqlalchemy import event, func, insert, select
from sqlalchemy.exc import SQLAlchemyError

from search.study.storage.open import connect
from search.study.storage.rdb import Storage, record

URL = "sqlite:///studies.db"
FILLED = [table.name for table in reversed(models.BaseModel.metadata.sorted_tables) if table.name != "version_info"]
"""The tables that a study fills, in an order in which their rows can be deleted."""
RANGES: dict[str, Any] = {
    "lr": FloatDistribution(1e-4, 1, log=True),
    "step": IntDistribution(5, 25, step=5),
    "weights": CategoricalDistribution((None, "DEFAULT", 3)),
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """A storage of each kind with its tables and connections, made once."""
    file = tmp_path_factory.mktemp("opened") / "studies.db"
    postgres = request.param == "postgresql" and request.getfixturevalue("postgres")
    storage = connect(postgres.database("optunas") if postgres else f"sqlite:///{file}")
    assert isinstance(storage, Storage)
    yield storage
    storage.engine.dispose()


class TestAsOptunaAsksFor(StorageTestCase):
    """Optuna's suite for whoever writes a storage, on ours as a study uses it, and bare."""

    @pytest.fixture(params=["cached", "bare"])
    def storage(self, request: pytest.FixtureRequest, opened: Storage) -> BaseStorage:
        """Empty, and new in all but its connections, which take longer than most of the tests."""
        with opened.engine.begin() as connection:
            for table in FILLED:
                connection.exec_driver_sql(f"DELETE FROM {table}")
        storage = Storage.__new__(Storage)
        storage.__dict__ |= opened.__dict__
        storage._begin(str(opened.url))
        return get_storage(storage) if request.param == "cached" else storage

    def test_pickle_storage(self, storage: BaseStorage) -> None:
        """As Optuna's, which leaves the connections of what it unpickled open."""
        study = storage.create_new_study([StudyDirection.MINIMIZE], "s")
        restored = pickle.loads(pickle.dumps(storage))  # noqa: S301 - our own
        assert restored.get_study_name_from_id(study) == "s"
        getattr(restored, "_backend", restored).engine.dispose()

    def test_get_all_studies(self, storage: BaseStorage) -> None:
        """As Optuna's, which looks at no trial, with one in each study instead of ten."""
        whole: Any = partial(pytest_storages._setup_studies, storage, 10, 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pytest_storages, "_setup_studies", lambda storage, n_study, n_trial, seed: whole(seed))
            super().test_get_all_studies(storage)


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
    for trial in (
        create_trial(value=math.inf),
        create_trial(state=TrialState.PRUNED, intermediate_values={0: math.nan}),
    ):
        trial.datetime_start = trial.datetime_complete = began
        study.add_trial(trial)


def test_trials_are_read_and_added_as_optuna_does_it(url: str) -> None:
    plain, ours = RDBStorage(url), Storage(url)
    study = optuna.create_study(storage=plain, study_name="made")
    fill(study)
    fill(optuna.create_study(storage=ours, study_name="another"))
    expected = optuna.load_study(study_name="made", storage=plain).get_trials()
    read = optuna.load_study(study_name="made", storage=ours).get_trials()
    assert len(read) == 6
    assert read[:5] == expected[:5]
    assert repr(read[5]) == repr(expected[5])  # NaN is not equal to itself
    added = optuna.load_study(study_name="another", storage=plain).get_trials()
    for trial, same in zip(added, expected, strict=True):
        trial._trial_id = same._trial_id
    assert repr(added) == repr(expected)
    plain.engine.dispose()
    ours.engine.dispose()


def test_several_objectives_and_none() -> None:
    study = optuna.create_study(storage=RDBStorage(URL), study_name="two", directions=["minimize", "maximize"])
    storage = Storage(URL)
    assert optuna.load_study(study_name="two", storage=storage).get_trials() == []
    study.add_trials([create_trial(values=[3.0, 1.0]), create_trial(state=TrialState.FAIL)])
    ours = optuna.load_study(study_name="two", storage=storage)
    assert [trial.values for trial in ours.trials] == [[3.0, 1.0], None]
    ours.add_trial(create_trial(values=[2.0, math.inf]))
    assert study.trials[2].values == [2.0, math.inf]


def test_a_trial_whose_range_does_not_go_with_the_others_is_not_added(url: str) -> None:
    storage = connect(url)
    study = optuna.create_study(storage=storage)
    kinds: list[tuple[Any, Any]] = [("DEFAULT", RANGES["weights"]), (0.5, FloatDistribution(0, 1))]
    first, second = (create_trial(value=1.0, params={"x": x}, distributions={"x": kind}) for x, kind in kinds)
    study.add_trial(first)
    with pytest.raises(ValueError, match="Cannot set different distribution kind"):
        study.add_trial(second)
    assert [trial.params for trial in study.trials] == [{"x": "DEFAULT"}]
    storage.engine.dispose()


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


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a storage that Optuna's own has written two studies to, for tests that only read."""
    plain = RDBStorage(f"sqlite:///{tmp_path_factory.mktemp('filled')}/studies.db")
    for name in ("made", "other"):
        fill(optuna.create_study(storage=plain, study_name=name))
    plain.engine.dispose()
    return plain.url


@pytest.mark.parametrize(("unfinished", "last"), [(set(), 3), ({1, 2}, 4), ({2, 6}, 4), (set(), 99), ({5}, -1)])
def test_what_is_new_since_the_last_reading(filled: str, unfinished: set[int], last: int) -> None:
    plain = RDBStorage(filled)
    study = plain.get_study_id_from_name("made")
    expected = plain._get_trials(study, None, unfinished, last)
    found = Storage(filled)._get_trials(study, None, unfinished, last)
    assert [trial.number for trial in found] == [trial.number for trial in expected]
    assert found[:-1] == expected[:-1]  # the last holds a NaN, which is not equal to itself


def test_one_trial_is_read_as_optuna_reads_it(filled: str) -> None:
    plain, ours = RDBStorage(filled), Storage(filled)
    for trial in range(1, 6):
        assert ours.get_trial(trial) == plain.get_trial(trial)
    with pytest.raises(KeyError):
        ours.get_trial(99)


def grown(name: str, count: int) -> Study:
    """A study with so many trials that have ended, written row by row."""
    storage = Storage(URL)
    study = optuna.create_study(storage=storage, study_name=name)
    with storage.engine.begin() as connection:
        first = connection.execute(select(func.count(models.TrialModel.trial_id))).scalar_one() + 1
        ids = range(first, first + count)
        same = {"study_id": study._study_id, "state": TrialState.COMPLETE}
        connection.execute(insert(models.TrialModel), [same | {"number": i - first, "trial_id": i} for i in ids])
        value = {"objective": 0, "value": 0.5, "value_type": "FINITE"}
        connection.execute(insert(models.TrialValueModel), [value | {"trial_id": i} for i in ids])
    return study


def test_what_a_trial_asks_of_the_storage_hardly_grows_with_the_study() -> None:
    """Counted in the steps of SQLite's machine."""

    def steps(study: Study) -> float:
        """A hundred of them, of one trial with all that the driver asks of the storage for it."""
        counted: list[int] = []
        assert len(study.get_trials(deepcopy=False)) in (10, 3010)

        def count() -> int:
            counted.append(1)
            return 0

        def watch(connection: Any, *_: Any) -> None:
            connection.set_progress_handler(count, 100)

        backend: Any = getattr(study._storage, "_backend")  # noqa: B009 - Optuna's cache around ours
        backend.engine.dispose()
        event.listen(backend.engine, "connect", watch)
        running = study.ask()
        running.suggest_float("x", 0, 1)
        record(running, {"epoch": {"score": 1}}, 1, 0.5)
        study.get_trials(deepcopy=False)  # the pruner
        study.get_trials(deepcopy=False)  # the sampler
        study.tell(running, 0.5)
        return len(counted)

    few, many = steps(grown("few", 10)), steps(grown("many", 3010))
    assert (many - few) * 100 / 3000 < 20


@pytest.mark.parametrize("cached", [True, False])
def test_what_an_epoch_brings_is_written_at_once(url: str, cached: bool) -> None:
    storage = connect(url)
    study = optuna.create_study(storage=storage if cached else None, study_name="s")
    trial = study.ask()
    record(trial, {"a": 1, "epoch": {"score": 0.5}}, 1, 0.5)
    record(trial, {"epoch": {"score": 0.25, "text": "猫 \0"}}, 2, None)
    record(trial, {}, 3, -0.25)
    (read,) = study.get_trials()
    assert read.user_attrs == trial.user_attrs == {"a": 1, "epoch": {"score": 0.25, "text": "猫 \0"}}
    assert read.intermediate_values == trial._get_latest_trial().intermediate_values == {1: 0.5, 3: -0.25}
    study.tell(trial, 0.5)
    for attrs, value in (({"epoch": {}}, None), ({}, 0.5)):
        with pytest.raises(UpdateFinishedTrialError):
            record(trial, attrs, 4, value)
    storage.engine.dispose()


def test_of_an_epoch_all_is_written_or_nothing(url: str) -> None:
    storage = connect(url)
    study = optuna.create_study(storage=storage)
    trial = study.ask()
    with pytest.raises(ValueError, match="step 2147483648 is over"):
        record(trial, {"epoch": {}}, 2**31, 0.5)
    with storage.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE trial_intermediate_values RENAME TO away")
    with pytest.raises(SQLAlchemyError):
        record(trial, {"epoch": {}}, 1, 0.5)
    with storage.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO trial_intermediate_values")
    (read,) = study.get_trials()
    assert (read.user_attrs, read.intermediate_values) == ({}, {})
    storage.engine.dispose()


def test_a_study_that_is_gone_is_an_error() -> None:
    storage = Storage(URL)
    study = optuna.create_study(storage=storage, study_name="gone")
    optuna.delete_study(study_name="gone", storage=storage)
    with pytest.raises(KeyError):
        study.get_trials()
    assert Path("studies.db").is_file()


@pytest.mark.parametrize(
    ("name", "step", "words"),
    [("x\0y", 1, r"NUL or over 512 characters"), ("x" * 513, 1, r"over 512"), ("x", 2**31, "step 2147483648 is over")],
)
def test_what_postgresql_would_refuse_is_refused_everywhere(url: str, name: str, step: int, words: str) -> None:
    storage = connect(url)
    study = optuna.create_study(storage=storage)
    trial = study.ask()
    with pytest.raises(ValueError, match=words):
        trial.report(trial.suggest_float(name, 0, 1), step)
    trial.report(math.inf, 2**31 - 1)
    trial.set_user_attr("a\\0b", "NUL \0, half a pair \udc80, and 猫")
    study.tell(trial, -math.inf)
    (told,) = study.trials
    assert (told.intermediate_values, told.value) == ({2**31 - 1: math.inf}, -math.inf)
    assert told.user_attrs == {"a\\0b": "NUL \0, half a pair \udc80, and 猫"}
    storage.engine.dispose()
