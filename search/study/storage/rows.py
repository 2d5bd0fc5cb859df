"""Trials read from the rows of Optuna's tables.

Optuna makes an object of each parameter, value and epoch first: of 10,000 trials a quarter of a million.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from optuna.distributions import json_to_distribution
from optuna.trial import FrozenTrial
from sqlalchemy import Connection, bindparam, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from search.study.storage import single
from search.study.storage.internals import models

MANY = 1000
"""A statement takes at most so many values; databases limit them."""

distribution = lru_cache(maxsize=1024)(json_to_distribution)
"""Ten thousand trials have the same few."""


@lru_cache
def _rows(many: bool, *columns: InstrumentedAttribute[Any]) -> Any:
    """A statement for columns of a table about trials, in the order in which they were written.

    The first column is the table's key. It reads the trials `ids`, or if `many`, all of a `study` from the `first` on.
    """
    t, key = models.TrialModel, columns[0]
    wanted: Any = bindparam("ids", expanding=True)
    if many:
        wanted = select(t.trial_id).where(t.study_id == bindparam("study"), t.trial_id >= bindparam("first"))
    return select(*columns[1:]).where(key.class_.trial_id.in_(wanted)).order_by(key)


def _tables(connection: Connection, trials: list[Any]) -> Callable[..., Any]:
    """A function of a table's number and its columns, which returns the rows about the `trials`."""
    ids = [row.trial_id for row in trials]
    many = len(ids) > MANY
    if connection.dialect.name == "postgresql" and not many:
        found = _at_once(connection, ids)
        return lambda part, *columns: found[part]
    which = {"study": trials[0].study_id, "first": ids[0]} if many else {"ids": ids}
    return lambda part, *columns: connection.execute(_rows(many, *columns), which)


def _at_once(connection: Connection, ids: list[int]) -> list[list[tuple[Any, ...]]]:
    """The rows of the five tables about trials, each as its own statement would give them."""
    parts: list[list[tuple[Any, ...]]] = [[] for _ in range(5)]
    for part, _, trial, name, value, text in connection.execute(single.children(), {"ids": ids}):
        number = int(name) if part in (1, 2) else name
        parts[part].append((trial, number, text) if part > 2 else (trial, number, value, _KINDS[part](text)))
    return parts


_KINDS: tuple[Callable[[str], Any], ...] = (
    str,
    models.TrialValueModel.TrialValueType.__getitem__,
    models.TrialIntermediateValueModel.TrialIntermediateValueType.__getitem__,
)
"""What the last column is of parameters, values and epochs."""


def read(session: Session, trials: list[Any]) -> list[FrozenTrial]:
    """What all tables hold of the `trials`, which are rows of Optuna's own class, because that knows the time zone."""
    if not trials:
        return []
    rows = _tables(session.connection(), trials)
    params: dict[int, dict[str, Any]] = defaultdict(dict)
    ranges: dict[int, dict[str, Any]] = defaultdict(dict)
    m = models.TrialParamModel
    for trial, name, value, kind in rows(0, m.param_id, m.trial_id, m.param_name, m.param_value, m.distribution_json):
        ranges[trial][name] = distribution(kind)
        params[trial][name] = distribution(kind).to_external_repr(value)
    values: dict[int, dict[int, float]] = defaultdict(dict)
    v = models.TrialValueModel
    for trial, objective, number, kind in rows(1, v.trial_value_id, v.trial_id, v.objective, v.value, v.value_type):
        values[trial][objective] = v.stored_repr_to_value(number, kind)
    curves: dict[int, dict[int, float]] = defaultdict(dict)
    i = models.TrialIntermediateValueModel
    epochs = (i.trial_intermediate_value_id, i.trial_id, i.step, i.intermediate_value, i.intermediate_value_type)
    for trial, step, number, kind in rows(2, *epochs):
        curves[trial][step] = i.stored_repr_to_intermediate_value(number, kind)
    attrs: dict[Any, dict[int, dict[str, Any]]] = {}
    for part, a, key in (
        (3, models.TrialUserAttributeModel, models.TrialUserAttributeModel.trial_user_attribute_id),
        (4, models.TrialSystemAttributeModel, models.TrialSystemAttributeModel.trial_system_attribute_id),
    ):
        attrs[a] = defaultdict(dict)
        for trial, name, text in rows(part, key, a.trial_id, a.key, a.value_json):
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
