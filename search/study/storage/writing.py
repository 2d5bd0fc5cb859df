"""What is written of a trial, in as few statements as its database takes.

Optuna has a transaction for each parameter, attribute and value, with a statement to look whether it is there. Over a
network each statement is a round trip, and so are the begin and the end of a transaction (`single`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility, distribution_to_json
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Engine, bindparam, func, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from search.study.storage import single
from search.study.storage.internals import models
from search.study.storage.rows import distribution

INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""The databases of which this module knows how they replace a row."""


class Rows:
    """What is new about one trial: parameters, values at steps, attributes. What is no JSON raises TypeError."""

    def __init__(
        self,
        user: Mapping[str, Any] | None = None,
        system: Mapping[str, Any] | None = None,
        curve: Mapping[int, float] | None = None,
        params: Mapping[str, tuple[float, BaseDistribution]] | None = None,
    ) -> None:
        """`params`: each value as the storage has it, and its range."""
        stored = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
        self.user = {key: json.dumps(value) for key, value in (user or {}).items()}
        self.system = {key: json.dumps(value) for key, value in (system or {}).items()}
        self.curve = {step: stored(value) for step, value in (curve or {}).items()}
        self.params = {name: (value, distribution_to_json(kind)) for name, (value, kind) in (params or {}).items()}

    def __bool__(self) -> bool:
        return bool(self.user or self.system or self.curve or self.params)

    def add(self, more: Rows) -> None:
        """Take in what was written later."""
        self.user |= more.user
        self.system |= more.system
        self.curve |= more.curve
        self.params |= more.params

    def of(self, trial: int) -> list[list[dict[str, Any]]]:
        """The rows of each table in `single.TABLES`, by the names of its columns."""
        return [
            [
                {"trial_id": trial, "param_name": name, "param_value": value, "distribution_json": kind}
                for name, (value, kind) in self.params.items()
            ],
            [
                {"trial_id": trial, "step": step, "intermediate_value": value, "intermediate_value_type": kind}
                for step, (value, kind) in self.curve.items()
            ],
            [{"trial_id": trial, "key": key, "value_json": value} for key, value in self.user.items()],
            [{"trial_id": trial, "key": key, "value_json": value} for key, value in self.system.items()],
        ]


def write(engine: Engine, autocommit: Engine, trial: int, rows: Rows) -> TrialState | None:
    """Write all rows in one transaction, if the trial runs. Returns its state, None if there is no such trial."""
    tables = rows.of(trial)
    if engine.name == "postgresql":
        words: dict[str, Any] = {"trial": trial}
        for part, found in enumerate(tables):
            for number, row in enumerate(found):
                words |= {f"{column}_{part}_{number}": value for column, value in row.items() if column != "trial_id"}
        with autocommit.connect() as connection:  # one statement is a transaction
            return connection.execute(single.written(*map(len, tables)), words).scalar_one_or_none()
    with engine.begin() as connection:
        state = state_of(connection, trial)
        if state in single.RUNS:
            _put(connection, tables)
    return state


def _put(connection: Connection, tables: Sequence[list[dict[str, Any]]]) -> None:
    """Write the rows of each of `single.TABLES`, or of the first of them."""
    for part, found in enumerate(tables):
        if found:
            connection.execute(_upsert(connection.dialect.name, part), found)


def state_of(connection: Connection, trial: int) -> TrialState | None:
    """The state of the trial, None if there is no such trial."""
    state: TrialState | None = connection.execute(_state(), {"trial": trial}).scalar_one_or_none()
    return state


def end(
    engine: Engine, autocommit: Engine, trial: int, state: TrialState, values: Sequence[float], when: datetime
) -> tuple[bool, TrialState | None]:
    """Give a trial that runs or waits another state, with its values. Returns whether it did, and the state else.

    `when`: the time of its end, if it ends.
    """
    rows = _values(trial, values)
    words: dict[str, Any] = {"trial": trial, "new": state, "now": when if state.is_finished() else None}
    if engine.name == "postgresql":
        for number, row in enumerate(rows):
            words |= {f"value_{number}": row["value"], f"type_{number}": row["value_type"]}
        with autocommit.connect() as connection:
            done, before = connection.execute(single.ended(len(rows)), words).one()
            return bool(done), before
    with engine.begin() as connection:
        if connection.execute(_change(), words).rowcount:
            if rows:
                connection.execute(_upsert(engine.name, len(single.TABLES) - 1), rows)
            return True, None
        return False, state_of(connection, trial)


def _values(trial: int, values: Sequence[float]) -> list[dict[str, Any]]:
    """The rows of a trial's values, by the names of their columns."""
    stored = models.TrialValueModel.value_to_stored_repr
    return [
        {"trial_id": trial, "objective": number, "value": value, "value_type": kind}
        for number, (value, kind) in enumerate(map(stored, values))
    ]


def fill(connection: Connection, study: int, trial: int, like: FrozenTrial) -> None:
    """Write to a trial that the transaction has made what the trial `like` has, except its state and times.

    Raises ValueError if the range of a parameter does not go with that of the study's other trials.
    """
    ranges = like.distributions
    params = {name: (ranges[name].to_internal_repr(value), ranges[name]) for name, value in like.params.items()}
    for name, (_, kind) in params.items():
        earlier = connection.execute(_range(), {"study": study, "name": name}).scalar()
        if earlier is not None:
            check_distribution_compatibility(distribution(earlier), kind)
    rows = Rows(like.user_attrs, like.system_attrs, like.intermediate_values, params)
    _put(connection, [*rows.of(trial), _values(trial, like.values or ())])


def create(connection: Connection, study: int) -> Any:
    """Make a new running trial in the transaction: its id, number and start. Raises KeyError if there is no study.

    The study is locked meanwhile, because the number is a count. SQLite has one writer at a time.
    """
    t, start = models.TrialModel.__table__.c, now()
    if connection.dialect.name == "postgresql" and not connection.execute(_locked(), {"study": study}).first():
        raise KeyError(study)
    made = connection.execute(_create(connection.dialect.name), {"study": study, "start": start})
    if connection.dialect.name == "postgresql":
        row = made.one()
        return row.trial_id, row.number, start
    if not made.rowcount:
        raise KeyError(study)
    number = connection.execute(select(t.number).where(t.trial_id == made.lastrowid)).scalar_one()
    return made.lastrowid, number, start


def note(engine: Engine, autocommit: Engine, study: int, attrs: Mapping[str, Any]) -> None:
    """Set system attributes of the study, all in one statement."""
    rows = [{"study_id": study, "key": key, "value_json": json.dumps(value)} for key, value in attrs.items()]
    written = INSERT[engine.name](models.StudySystemAttributeModel.__table__).values(rows)
    changed = {"value_json": written.excluded.value_json}
    with autocommit.connect() if engine.name == "postgresql" else engine.begin() as connection:
        connection.execute(written.on_conflict_do_update(index_elements=["study_id", "key"], set_=changed))


def now() -> datetime:
    """The time as Optuna's columns have it: UTC, and naive."""
    return datetime.now(UTC).replace(tzinfo=None)


def local(moment: datetime) -> datetime:
    """A time of Optuna's columns as its trials have it."""
    return moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


@lru_cache  # SQLAlchemy takes longer to put a statement together than SQLite to run it
def _upsert(dialect: str, part: int) -> Any:
    """Insert rows of a table about trials, in place of those of the same trial that have the same key."""
    model, key, others = single.TABLES[part]
    made = INSERT[dialect](model.__table__)
    if not others:
        return made.on_conflict_do_nothing()
    return made.on_conflict_do_update(
        index_elements=["trial_id", key], set_={column: made.excluded[column] for column in others}
    )


@lru_cache
def _state() -> Any:
    return select(models.TrialModel.state).where(models.TrialModel.trial_id == bindparam("trial"))


@lru_cache
def _range() -> Any:
    """The range of a parameter in one of the study's trials that have it."""
    p, t = models.TrialParamModel, models.TrialModel
    of = select(p.distribution_json).join(t, t.trial_id == p.trial_id)
    return of.where(t.study_id == bindparam("study"), p.param_name == bindparam("name")).limit(1)


@lru_cache
def _change() -> Any:
    t = models.TrialModel.__table__
    runs = update(t).where(t.c.trial_id == bindparam("trial"), t.c.state.in_(single.RUNS))
    return runs.values(state=bindparam("new"), datetime_complete=bindparam("now"))


@lru_cache
def _locked() -> Any:
    study = models.StudyModel.study_id
    return select(study).where(study == bindparam("study")).with_for_update()


@lru_cache
def _create(dialect: str) -> Any:
    t, s = models.TrialModel.__table__, models.StudyModel.__table__
    count = select(func.count(t.c.trial_id)).where(t.c.study_id == bindparam("study")).scalar_subquery()
    start = bindparam("start", type_=t.c.datetime_start.type)
    row = select(s.c.study_id, count, literal(TrialState.RUNNING, t.c.state.type), start)
    made = insert(t).from_select(
        ["study_id", "number", "state", "datetime_start"], row.where(s.c.study_id == bindparam("study"))
    )
    return made.returning(t.c.trial_id, t.c.number) if dialect == "postgresql" else made
