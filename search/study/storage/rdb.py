"""Optuna's relational storage, except that it reads a large study fast, and writes as `writer` does."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial, wraps
from itertools import count
from typing import Any

from optuna.storages import RDBStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from search.study.attributes import feasible
from search.study.storage import internals, single, writing
from search.study.storage.internals import models
from search.study.storage.rows import MANY, read
from search.study.storage.writer import Writer

_BATCH = 100
"""So many of the best trials are looked at, and then the next, until one keeps the constraints."""


class Storage(Writer):
    """RDBStorage, except in how it writes, and in two things more.

    It reads trials by taking their rows as they are: Optuna makes an object of each parameter, value and epoch first,
    of 10,000 trials a quarter of a million; and it reads those that are new or unfinished without a look at the others.
    Of trials that run here it reads nothing but whether they still do (`mine`).

    Nothing else is changed, nor what is read. Optuna does not document what is overridden: keep a test.
    """

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
        mine = self.mine.of(study_id)
        if not (mine or self.mine.just_ended):
            return self._read_trials(study_id, older, trial_id_greater_than)
        known = [trial for trial in older if trial in mine]
        words = {"study": study_id, "last": trial_id_greater_than, **({"ids": known} if known else {})}
        with self.reading.connect() as connection:
            seen = dict(map(tuple, connection.execute(single.look(bool(known)), words)))
        for trial in seen.keys() & mine.keys():
            if seen[trial] != TrialState.RUNNING:  # ended by hand, or it runs elsewhere
                self.mine.drop(trial)
                del mine[trial]
        kept = [mine[trial] for trial in {*known, *seen} & mine.keys()]
        ended = self.mine.taken({*older, *seen})
        missing = {*older, *seen} - mine.keys() - {internals.trial_id(trial) for trial in ended}
        found = self._read_trials(study_id, sorted(missing), None) if missing else []
        return sorted([*kept, *ended, *found], key=internals.trial_id)

    def _read_trials(self, study_id: int, these: Sequence[int], after: int | None) -> list[FrozenTrial]:
        """Trials of the study, whole: `these`, and those after one, all if that is negative, none if it is None."""
        trial = models.TrialModel
        wanted = select(trial).where(trial.study_id == study_id)
        found: list[Any] = []
        with Session(self.reading) as session:
            # Not in one statement: of an OR, SQLite looks at every trial of the study.
            for start in range(0, len(these), MANY):
                found += session.scalars(wanted.where(trial.trial_id.in_(these[start : start + MANY])))
            if after is not None:
                found += session.scalars(wanted if after < 0 else wanted.where(trial.trial_id > after))
            if not found:
                models.StudyModel.find_or_raise_by_id(study_id, session)
            return read(session, sorted(found, key=lambda row: int(row.trial_id)))

    def get_trial(self, trial_id: int) -> FrozenTrial:
        if (known := self.mine.fresh(trial_id) or self.mine.ended(trial_id)) is not None:
            return known
        if (known := self.mine.running(trial_id)) is not None:
            with self.reading.connect() as connection:
                if writing.state_of(connection, trial_id) == TrialState.RUNNING:
                    return known
            self.mine.drop(trial_id)
        with Session(self.reading) as session:
            return read(session, [models.TrialModel.find_or_raise_by_id(trial_id, session)])[0]

    def study_system_attr(self, study_id: int, key: str) -> Any:
        """One system attribute of a study, None if there is none; Optuna reads all, of which each trial has some."""
        model = models.StudySystemAttributeModel
        with self.reading.connect() as connection:
            found = connection.execute(
                select(model.value_json).where(model.study_id == study_id).where(model.key == key)
            ).scalar()
        return None if found is None else json.loads(found)


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


@contextmanager
def together(trial: Trial) -> Iterator[None]:
    """Write what the block sets of the trial, parameters and attributes, in one transaction at its end."""
    storage = internals.uncached(trial.storage)
    with storage.together(internals.trial_id(trial)) if isinstance(storage, Storage) else nullcontext():
        yield


def set_system_attrs(study: Study, attrs: Mapping[str, Any]) -> None:
    """Set system attributes of the study, which Optuna does one by one."""
    storage = internals.uncached(internals.storage_of(study))
    if isinstance(storage, Storage):
        storage.set_study_system_attrs(internals.study_id(study), attrs)
        return
    for key, value in attrs.items():
        internals.set_system_attr(study, key, value)


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


def leader(storage: RDBStorage, study_id: int, direction: StudyDirection) -> tuple[float, int] | tuple[None, None]:
    """The value and the number of the study's best trial, as `ranked` has it, without reading every trial."""
    trial, value, attribute = models.TrialModel, models.TrialValueModel, models.TrialSystemAttributeModel
    better = value.value.desc() if direction == StudyDirection.MAXIMIZE else value.value.asc()
    done = select(trial.trial_id, trial.number, value.value).join(value, value.trial_id == trial.trial_id)
    done = done.where(trial.study_id == study_id).where(trial.state == TrialState.COMPLETE)
    done = done.where(value.objective == 0).where(value.value_type == value.TrialValueType.FINITE)
    limits = select(attribute.trial_id, attribute.key, attribute.value_json)
    limits = limits.where(attribute.key.startswith("constraints"))
    with storage.engine.connect() as connection:
        for start in count(0, _BATCH):
            rows = connection.execute(done.order_by(better, trial.number).offset(start).limit(_BATCH)).all()
            found: dict[int, dict[str, Any]] = {row.trial_id: {} for row in rows}
            for number, key, text in connection.execute(limits.where(attribute.trial_id.in_(found))):
                found[number][key] = json.loads(text)
            for row in rows:
                if feasible(create_trial(value=row.value, system_attrs=found[row.trial_id])):
                    return float(row.value), int(row.number)
            if not rows:
                break
    return None, None


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
    "set_study_user_attr set_study_system_attr set_study_system_attrs "
    "set_trial_param _set_trial_param "
    # What takes care of it by itself; of a study that is there already Optuna's create_study makes use.
    "create_new_trial create_new_study"
)
for _name in _SAFE_TO_REPEAT.split():
    setattr(Storage, _name, _waits(getattr(Storage, _name)))
