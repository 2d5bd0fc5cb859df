"""Optuna's relational storage, except that it reads a large study fast and waits for a database that is away."""

from __future__ import annotations

import json
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Container, Sequence
from datetime import datetime, timedelta
from functools import lru_cache, partial, wraps
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, make_url, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from search import outage

_LONGEST_NAME = 512
"""Characters of a parameter's or an attribute's name; Optuna's columns have no more, which SQLite does not mind."""
_LARGEST_STEP = 2**31 - 1
"""Optuna's column is an integer of 32 bits, which SQLite does not mind either."""


class Storage(RDBStorage):
    """RDBStorage, except in three things.

    It reads trials by taking their rows as they are: Optuna makes an object of each parameter, value and epoch first,
    of 10,000 trials a quarter of a million. A database that is away is waited for, with every call; what was
    written, although the answer was lost, is not written twice. What PostgreSQL would refuse is refused everywhere.

    Nothing else is changed, nor what is read. Optuna does not document what is overridden: keep a test.
    """

    def __init__(self, url: str, engine_kwargs: dict[str, Any] | None = None) -> None:
        self._begin(url)
        super().__init__(url, engine_kwargs)
        self._close_in_the_end()

    def _begin(self, url: str) -> None:
        self.outage = outage.Outage(make_url(url).set(query={}).render_as_string())
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

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        older = {trial for trial in included_trial_ids if trial <= trial_id_greater_than}
        if states is not None or len(older) > 1000:  # databases limit the values of one statement
            return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        trial = models.TrialModel
        wanted = [trial.study_id == study_id]
        if trial_id_greater_than >= 0:
            wanted.append(or_(trial.trial_id > trial_id_greater_than, trial.trial_id.in_(older)))
        with Session(self.engine) as session:
            models.StudyModel.find_or_raise_by_id(study_id, session)
            return _read(session, *wanted)

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
        if step > _LARGEST_STEP:
            raise ValueError(f"step {step} is over {_LARGEST_STEP}")
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)

    def study_system_attr(self, study_id: int, key: str) -> Any:
        """One system attribute of a study, None if there is none; Optuna reads all, of which each trial has some."""
        model = models.StudySystemAttributeModel
        with self.engine.connect() as connection:
            found = connection.execute(
                select(model.value_json).where(model.study_id == study_id).where(model.key == key)
            ).scalar()
        return None if found is None else json.loads(found)


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
    "set_trial_param _set_trial_param "
    # What takes care of it above; of a study that is there already Optuna's create_study makes use.
    "create_new_trial _create_new_trial create_new_study"
)
for _name in _SAFE_TO_REPEAT.split():
    setattr(Storage, _name, _waits(getattr(Storage, _name)))

_distribution = lru_cache(maxsize=1024)(json_to_distribution)
"""Ten thousand trials have the same few."""


def _read(session: Session, *wanted: ColumnElement[bool]) -> list[FrozenTrial]:
    """The trials for which all of `wanted` is true, in the order of their ids."""
    found = select(models.TrialModel).where(*wanted).order_by(models.TrialModel.trial_id)
    trials: list[Any] = list(session.scalars(found))  # Optuna's objects, which know their time zone
    if not trials:
        return []
    of_wanted = select(models.TrialModel.trial_id).where(*wanted)

    def rows(*columns: InstrumentedAttribute[Any]) -> Any:
        """The columns of a table about trials, in the order in which they were written; the first is its key."""
        table = columns[0].class_
        return session.execute(select(*columns[1:]).where(table.trial_id.in_(of_wanted)).order_by(columns[0]))

    params: dict[int, dict[str, Any]] = defaultdict(dict)
    ranges: dict[int, dict[str, Any]] = defaultdict(dict)
    m = models.TrialParamModel
    for trial, name, value, kind in rows(m.param_id, m.trial_id, m.param_name, m.param_value, m.distribution_json):
        ranges[trial][name] = _distribution(kind)
        params[trial][name] = _distribution(kind).to_external_repr(value)
    values: dict[int, dict[int, float]] = defaultdict(dict)
    v = models.TrialValueModel
    for trial, objective, number, kind in rows(v.trial_value_id, v.trial_id, v.objective, v.value, v.value_type):
        values[trial][objective] = v.stored_repr_to_value(number, kind)
    curves: dict[int, dict[int, float]] = defaultdict(dict)
    i = models.TrialIntermediateValueModel
    epochs = (i.trial_intermediate_value_id, i.trial_id, i.step, i.intermediate_value, i.intermediate_value_type)
    for trial, step, number, kind in rows(*epochs):
        curves[trial][step] = i.stored_repr_to_intermediate_value(number, kind)
    attrs: dict[Any, dict[int, dict[str, Any]]] = {}
    for a, key in (
        (models.TrialUserAttributeModel, models.TrialUserAttributeModel.trial_user_attribute_id),
        (models.TrialSystemAttributeModel, models.TrialSystemAttributeModel.trial_system_attribute_id),
    ):
        attrs[a] = defaultdict(dict)
        for trial, name, text in rows(key, a.trial_id, a.key, a.value_json):
            attrs[a][trial][name] = json.loads(text)
    user, system = attrs.values()
    return [
        FrozenTrial(
            number=row.number,
            state=row.state,
            value=None,
            values=[values[row.trial_id][i] for i in sorted(values[row.trial_id])] if row.trial_id in values else None,
            datetime_start=row.datetime_start,
            datetime_complete=row.datetime_complete,
            params=params[row.trial_id],
            distributions=ranges[row.trial_id],
            user_attrs=user[row.trial_id],
            system_attrs=system[row.trial_id],
            intermediate_values=curves[row.trial_id],
            trial_id=row.trial_id,
        )
        for row in trials
    ]
