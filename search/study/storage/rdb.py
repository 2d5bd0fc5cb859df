"""Optuna's relational storage, except that it reads a large study fast and waits for a database that is away."""

from __future__ import annotations

import json
import threading
import weakref
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache, partial, wraps
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import Engine, bindparam, func, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from search.study.storage import internals, retry, single
from search.study.storage.internals import models
from search.study.storage.rows import MANY, read

_LONGEST_NAME = 512
"""Characters of a parameter's or an attribute's name; Optuna's columns have no more, which SQLite does not mind."""
_LARGEST_STEP = 2**31 - 1
"""Optuna's column is an integer of 32 bits, which SQLite does not mind either."""


_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_VALUES = ("value_json", "intermediate_value", "intermediate_value_type")


class Storage(RDBStorage):
    """RDBStorage, except in four things.

    It reads trials by taking their rows as they are: Optuna makes an object of each parameter, value and epoch first,
    of 10,000 trials a quarter of a million; and it reads those that are new or unfinished without a look at the others.
    It writes what an epoch brings in one transaction. A database that is away is waited for, with every call; what was
    written, although the answer was lost, is not written twice. What PostgreSQL would refuse is refused everywhere.

    Nothing else is changed, nor what is read. Optuna does not document what is overridden: keep a test.
    """

    def __init__(self, url: str, engine_kwargs: dict[str, Any] | None = None, make_tables: bool = True) -> None:
        self._begin(url)
        super().__init__(url, engine_kwargs, skip_table_creation=not make_tables)
        self._close_in_the_end()

    def _begin(self, url: str) -> None:
        self.outage = retry.Outage(make_url(url).set(query={}).render_as_string())
        self._made = threading.local()

    def __getstate__(self) -> dict[Any, Any]:
        return {name: value for name, value in super().__getstate__().items() if name not in ("outage", "_made")}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        self._begin(state["url"])
        super().__setstate__(state)
        self._close_in_the_end()

    def _close_in_the_end(self) -> None:
        """Close the connections when nobody uses the storage any more."""
        weakref.finalize(self, self.engine.dispose).atexit = False

    @property
    def _reading(self) -> Engine:
        """The engine, without a transaction around what only reads where that is two round trips more."""
        if self.engine.name != "postgresql":
            return self.engine
        return self.engine.execution_options(isolation_level="AUTOCOMMIT")

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        older = sorted(trial for trial in included_trial_ids if trial <= trial_id_greater_than)
        if states is not None or len(older) > MANY:
            return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        trial = models.TrialModel
        wanted = select(trial).where(trial.study_id == study_id)
        newer = wanted if trial_id_greater_than < 0 else wanted.where(trial.trial_id > trial_id_greater_than)
        with Session(self._reading) as session:
            # Not in one statement: of an OR, SQLite looks at every trial of the study.
            found = list(session.scalars(wanted.where(trial.trial_id.in_(older)))) if older else []
            found += session.scalars(newer)
            if not found:
                models.StudyModel.find_or_raise_by_id(study_id, session)
            return read(session, sorted(found, key=lambda row: int(row.trial_id)))

    def get_trial(self, trial_id: int) -> FrozenTrial:
        with Session(self._reading) as session:
            return read(session, [models.TrialModel.find_or_raise_by_id(trial_id, session)])[0]

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        self._made.trial = None
        return super()._create_new_trial(study_id, template_trial)

    def _get_prepared_new_trial(self, study_id: int, template_trial: FrozenTrial | None, session: Session) -> Any:
        """A new trial; or the one of the attempt before, if that was written and only its answer lost.

        A database's sequence never gives an id twice, so one that is there is ours. SQLite's may, but there an answer
        is not lost.
        """
        trial, number = getattr(self._made, "trial", None) or (None, None)
        if trial is not None and self.engine.name != "sqlite":
            found: Any = session.get(models.TrialModel, trial)
            if found is not None and (found.study_id, found.number) == (study_id, number):
                return found
        made = super()._get_prepared_new_trial(study_id, template_trial, session)
        self._made.trial = made.trial_id, made.number
        return made

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        began, again = datetime.now(), False

        def attempt() -> bool:
            nonlocal again
            if again and self._is_so(trial_id, state, began):
                return True
            again = True
            return super(Storage, self).set_trial_state_values(trial_id, state, values)

        return self.outage.through(attempt)

    def _is_so(self, trial_id: int, state: TrialState, since: datetime) -> bool:
        """Whether the trial has been in that state since then; an earlier change was not ours."""
        with Session(self.engine) as session:
            trial = models.TrialModel.find_or_raise_by_id(trial_id, session)
            when = trial.datetime_complete if state.is_finished() else trial.datetime_start
            # Some databases keep whole seconds.
            return bool(trial.state == state and when is not None and when >= since - timedelta(seconds=1))

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:
        if "\0" in param_name or len(param_name) > _LONGEST_NAME:
            raise ValueError(f"the setting's name {param_name[:40]!r} has a NUL or over {_LONGEST_NAME} characters")
        super()._set_trial_param(trial_id, param_name, param_value_internal, distribution, previous_distribution)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        _check_step(step)
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)

    def record(self, trial_id: int, attrs: Mapping[str, Any], step: int, value: float | None) -> None:
        """Set user attributes of a trial that runs and, if there is a value, its value at `step`, in one transaction.

        Optuna has a transaction for each of them, with a statement to look whether it is there, which is most of what
        an epoch costs the driver. Raises UpdateFinishedTrialError.
        """
        if self.engine.name not in _INSERT:
            for key, attr in attrs.items():
                self.set_trial_user_attr(trial_id, key, attr)
            if value is not None:
                self.set_trial_intermediate_value(trial_id, step, value)
            return
        a, i = models.TrialUserAttributeModel, models.TrialIntermediateValueModel
        rows: dict[Any, list[dict[str, Any]]] = {
            a: [{"trial_id": trial_id, "key": key, "value_json": json.dumps(attr)} for key, attr in attrs.items()]
        }
        if value is not None:
            _check_step(step)
            number, kind = i.intermediate_value_to_stored_repr(value)
            row = {"trial_id": trial_id, "step": step, "intermediate_value": number, "intermediate_value_type": kind}
            rows[i] = [row]
        if self.engine.name == "postgresql":
            self._record_at_once(trial_id, rows[a], rows.get(i, []))
            return
        with self.engine.begin() as connection:
            state = connection.execute(_state(), {"trial": trial_id}).scalar_one()
            self.check_trial_is_updatable(trial_id, state)
            for model, written in rows.items():
                if written:
                    connection.execute(_upsert(self.engine.name, model), written)

    def _record_at_once(self, trial_id: int, attrs: list[dict[str, Any]], values: list[dict[str, Any]]) -> None:
        words: dict[str, Any] = {"trial": trial_id}
        for number, row in enumerate(attrs):
            words |= {f"key{number}": row["key"], f"json{number}": row["value_json"]}
        for row in values:
            words |= {"step": row["step"], "value": row["intermediate_value"], "type": row["intermediate_value_type"]}
        with self._reading.connect() as connection:  # one statement is a transaction
            state = connection.execute(single.recorded(len(attrs), bool(values)), words).scalar_one()
        self.check_trial_is_updatable(trial_id, state)

    def study_system_attr(self, study_id: int, key: str) -> Any:
        """One system attribute of a study, None if there is none; Optuna reads all, of which each trial has some."""
        model = models.StudySystemAttributeModel
        with self.engine.connect() as connection:
            found = connection.execute(
                select(model.value_json).where(model.study_id == study_id).where(model.key == key)
            ).scalar()
        return None if found is None else json.loads(found)


def _check_step(step: int) -> None:
    if step > _LARGEST_STEP:
        raise ValueError(f"step {step} is over {_LARGEST_STEP}")


@lru_cache  # SQLAlchemy takes longer to put a statement together than SQLite to run it
def _upsert(dialect: str, model: Any) -> Any:
    """Insert rows of a table about trials, in place of those of the same trial that have the same key."""
    (key,) = {"key", "step"} & set(model.__table__.columns.keys())
    insert = _INSERT[dialect](model.__table__)
    others = {column.key: column for column in insert.excluded if column.key in _VALUES}
    return insert.on_conflict_do_update(index_elements=["trial_id", key], set_=others)


@lru_cache
def _state() -> Any:
    return select(models.TrialModel.state).where(models.TrialModel.trial_id == bindparam("trial"))


def record(trial: Trial, attrs: Mapping[str, Any], step: int, value: float | None) -> None:
    """What Trial.set_user_attr and Trial.report do, at once; `value`: None if the storage has it already."""
    storage = internals.uncached(trial.storage)
    if not isinstance(storage, Storage):
        for key, attr in attrs.items():
            trial.set_user_attr(key, attr)
        if value is not None:
            trial.report(value, step)
        return
    storage.record(internals.trial_id(trial), attrs, step, value)
    known = internals.known(trial)
    known.user_attrs |= attrs
    if value is not None:
        known.intermediate_values[step] = value


def system_attr(study: Study, key: str) -> Any:
    """One system attribute of the study, None if there is none. Optuna reads all, of which each trial has some."""
    storage = internals.uncached(internals.storage_of(study))
    if isinstance(storage, Storage):
        return storage.study_system_attr(internals.study_id(study), key)
    return internals.system_attrs(study).get(key)


def states(storage: RDBStorage, study_id: int) -> dict[TrialState, int]:
    """How many trials of the study are in each state. Optuna would read every trial to count it."""
    trial = models.TrialModel
    counted = select(trial.state, func.count()).where(trial.study_id == study_id).group_by(trial.state)
    with storage.engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(counted)}


def _waits(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: Storage, *args: Any, **kwargs: Any) -> Any:
        return self.outage.through(partial(method, self, *args, **kwargs))

    return call


_SAFE_TO_REPEAT = (
    # What only reads.
    "get_study_id_from_name get_study_name_from_id get_study_directions get_study_user_attrs get_study_system_attrs "
    "study_system_attr get_all_studies get_trial get_trial_param get_trial_id_from_study_id_trial_number "
    "get_all_trials _get_trials _get_best_trial_id "
    # What writes the same again, or is refused by a unique key, which Optuna lets pass.
    "set_study_user_attr set_study_system_attr set_trial_user_attr set_trial_system_attr set_trial_intermediate_value "
    "set_trial_param _set_trial_param record "
    # What takes care of it above; of a study that is there already Optuna's create_study makes use.
    "create_new_trial _create_new_trial create_new_study"
)
for _name in _SAFE_TO_REPEAT.split():
    setattr(Storage, _name, _waits(getattr(Storage, _name)))
