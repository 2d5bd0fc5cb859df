"""What a server over a network is asked in one statement where a file is asked in several.

Each statement of a transaction is a round trip, and so are its begin and its end. A trial took 130 of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Text, bindparam, cast, literal, null, select, union_all
from sqlalchemy.dialects import postgresql

from search.study.storage.internals import models

_RUNS = [state for state in TrialState if not state.is_finished()]


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


@lru_cache
def recorded(attrs: int, value: bool) -> Any:
    """Write so many user attributes `key0`, `json0`, ... of the `trial`, and a `value` at a `step`, if it runs.

    Returns the state of the trial. PostgreSQL does all of it or nothing.
    """
    t = models.TrialModel
    now = select(t.state).where(t.trial_id == bindparam("trial")).cte("now")
    writes = [_put(models.TrialUserAttributeModel, now, "key", f"key{n}", value_json=f"json{n}") for n in range(attrs)]
    if value:
        other = {"intermediate_value": "value", "intermediate_value_type": "type"}
        writes.append(_put(models.TrialIntermediateValueModel, now, "step", "step", **other))
    return select(now.c.state).add_cte(*writes)


def _put(model: Any, now: Any, key: str, name: str, **others: str) -> Any:
    """Insert a row about the trial, or change the one with that key; `others`: columns and their parameters."""
    columns, named = model.__table__.columns, {"trial_id": "trial", key: name, **others}
    row = [
        cast(bindparam(parameter, type_=columns[column].type), columns[column].type)
        for column, parameter in named.items()
    ]
    insert = postgresql.insert(model.__table__).from_select([*named], select(*row).where(now.c.state.in_(_RUNS)))
    changed = {column: insert.excluded[column] for column in others}
    return insert.on_conflict_do_update(index_elements=["trial_id", key], set_=changed).cte(f"put_{name}")
