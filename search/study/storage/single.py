"""What a server over a network is asked in one statement where a file is asked in several.

Each statement of a transaction is a round trip, and so are its begin and its end. A trial took 130 of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Text, bindparam, cast, func, literal, null, select, union_all, update
from sqlalchemy.dialects import postgresql

from search.study.storage.internals import models

RUNS = [state for state in TrialState if not state.is_finished()]


@lru_cache
def children() -> Any:
    """All rows about the trials `ids`: which table, its key, and five columns as `rows.read` wants them.

    The tables are numbered: params, values, epochs, user attributes, system attributes.
    """
    p, v, i = models.TrialParamModel, models.TrialValueModel, models.TrialIntermediateValueModel
    u, s = models.TrialUserAttributeModel, models.TrialSystemAttributeModel
    tables: Sequence[tuple[Any, Any, Any, Any, Any]] = (
        (p.param_id, p.trial_id, p.param_name, p.param_value, p.distribution_json),
        (v.trial_value_id, v.trial_id, v.objective, v.value, v.value_type),
        (i.trial_intermediate_value_id, i.trial_id, i.step, i.intermediate_value, i.intermediate_value_type),
        (u.trial_user_attribute_id, u.trial_id, u.key, null(), u.value_json),
        (s.trial_system_attribute_id, s.trial_id, s.key, null(), s.value_json),
    )
    wanted: Any = bindparam("ids", expanding=True)
    parts = [
        select(literal(number).label("part"), key.label("key"), trial, cast(name, Text), value, cast(text, Text)).where(
            trial.in_(wanted)
        )
        for number, (key, trial, name, value, text) in enumerate(tables)
    ]
    return union_all(*parts).order_by("part", "key")


P, V = models.TrialParamModel, models.TrialIntermediateValueModel
TABLES: tuple[tuple[Any, str, tuple[str, ...]], ...] = (
    (P, "param_name", ()),
    (V, "step", ("intermediate_value", "intermediate_value_type")),
    (models.TrialUserAttributeModel, "key", ("value_json",)),
    (models.TrialSystemAttributeModel, "key", ("value_json",)),
    (models.TrialValueModel, "objective", ("value", "value_type")),
)
"""The tables about a trial, each with its key and what changes where the key is there; of parameters nothing."""


@lru_cache
def written(*counts: int) -> Any:
    """Write so many rows of each of the TABLES about the `trial`, if it runs.

    The parameters are named after the column, the table's place and the row's: `key_2_0`. Returns the state of the
    trial. PostgreSQL does all of it or nothing.
    """
    t = models.TrialModel
    now = select(t.state).where(t.trial_id == bindparam("trial")).cte("now")
    writes = [_put(part, number, now.c.state.in_(RUNS)) for part, count in enumerate(counts) for number in range(count)]
    return select(now.c.state).add_cte(*writes)


@lru_cache
def ended(values: int) -> Any:
    """Give the `trial` the state `new` and the end `now`, if it runs or waits, and so many values.

    Returns whether it did, and the state before.
    """
    t = models.TrialModel.__table__
    runs = update(t).where(t.c.trial_id == bindparam("trial"), t.c.state.in_(RUNS))
    new, now = bindparam("new", type_=t.c.state.type), bindparam("now", type_=t.c.datetime_complete.type)
    done = runs.values(state=new, datetime_complete=now).returning(t.c.trial_id).cte("done")
    there = select(done.c.trial_id).exists()
    writes = [
        _put(
            len(TABLES) - 1,
            number,
            there,
            objective=literal(number),
            value=f"value_{number}",
            value_type=f"type_{number}",
        )
        for number in range(values)
    ]
    before = select(t.c.state).where(t.c.trial_id == bindparam("trial")).scalar_subquery()
    return select(select(func.count()).select_from(done).scalar_subquery(), before).add_cte(done, *writes)


def _put(part: int, number: int, condition: Any, **named: Any) -> Any:
    """Insert a row of a table about the trial, or change the one with its key, on a condition.

    `named`: columns whose parameters have other names, or whose values are known.
    """
    model, key, changed = TABLES[part]
    columns = model.__table__.columns
    names = ["trial_id", key, *(changed or ("param_value", "distribution_json"))]
    said = {"trial_id": "trial"} | {column: f"{column}_{part}_{number}" for column in names[1:]} | named
    row = [
        cast(bindparam(word, type_=columns[column].type) if isinstance(word, str) else word, columns[column].type)
        for column, word in said.items()
    ]
    made = postgresql.insert(model.__table__).from_select([*said], select(*row).where(condition))
    if not changed:
        return made.on_conflict_do_nothing().cte(f"put_{part}_{number}")
    values = {column: made.excluded[column] for column in changed}
    return made.on_conflict_do_update(index_elements=["trial_id", key], set_=values).cte(f"put_{part}_{number}")


@lru_cache
def look(older: bool) -> Any:
    """Ids and states of a `study`'s trials after the `last`, and if `older`, of those of `ids` that do not run."""
    t = models.TrialModel
    after = select(t.trial_id, t.state).where(t.study_id == bindparam("study"), t.trial_id > bindparam("last"))
    if not older:
        return after
    ids: Any = bindparam("ids", expanding=True)  # in a part of its own: of an OR, SQLite looks at every trial
    return union_all(after, select(t.trial_id, t.state).where(t.trial_id.in_(ids), t.state != TrialState.RUNNING))
