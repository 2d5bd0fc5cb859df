"""What the other studies of a storage tried and reached, in few statements: of a trial its config and its end."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from sqlalchemy import Connection, and_, func, select

from search.study.attributes import JUDGED_BY, Draft, StudyRecord, TrialRecord, feasible
from search.study.storage.internals import models
from search.study.storage.rows import MANY

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class EarlierTrial:
    """How a trial ended, and the attributes of JUDGED_BY that it has."""

    state: TrialState
    value: float | None
    """None: it is not COMPLETE, or its value is no finite number, or it breaks a constraint."""
    record: TrialRecord


@dataclass(frozen=True)
class EarlierStudy:
    """A study of one objective, with some of its trials."""

    name: str
    record: StudyRecord
    trials: list[EarlierTrial] = field(default_factory=list)


class Earlier(NamedTuple):
    """The studies that were read, the latest first, and how many were not."""

    studies: list[EarlierStudy]
    otherwise: int
    """Of another direction, or of several metrics."""
    older: int


def earlier(storage: RDBStorage, direction: StudyDirection, without: int, studies: int, trials: int) -> Earlier:
    """The studies with this one direction, but for the one of the number `without`.

    Args:
        storage: what they are in.
        direction: of their only objective.
        without: the number of the study that asks.
        studies: at most so many.
        trials: of each at most so many, one half the best that completed, the other the latest of all others.
    """
    with storage.engine.connect() as connection:
        count = connection.execute(select(func.count()).select_from(models.StudyModel)).scalar_one()
        akin = {number: name for number, name in _studies(connection, direction) if number != without}
        found = dict(list(akin.items())[:studies])
        attrs = _attributes(connection, [*found])
        ended = _trials(connection, [*found])
        sign = -1 if direction == StudyDirection.MAXIMIZE else 1
        chosen = {number: _chosen(rows, sign, trials) for number, rows in ended.items()}
        ids = [row.trial_id for rows in chosen.values() for row in rows]
        kept, limits = _of_trials(connection, ids)
    read = [
        EarlierStudy(
            name, StudyRecord(Draft(attrs[number])), [_trial(row, kept, limits) for row in chosen.get(number, ())]
        )
        for number, name in found.items()
    ]
    return Earlier(read, count - 1 - len(akin), len(akin) - len(found))


def _studies(connection: Connection, direction: StudyDirection) -> list[tuple[int, str]]:
    study, way = models.StudyModel, models.StudyDirectionModel
    one = select(way.study_id).group_by(way.study_id).having(func.count() == 1)
    asked = select(study.study_id, study.study_name).join(way, way.study_id == study.study_id)
    asked = asked.where(way.direction == direction).where(study.study_id.in_(one)).order_by(study.study_id.desc())
    return [(int(number), str(name)) for number, name in connection.execute(asked)]


def _attributes(connection: Connection, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
    a, found = models.StudyUserAttributeModel, defaultdict[int, dict[str, Any]](dict)
    for number, key, text in connection.execute(select(a.study_id, a.key, a.value_json).where(a.study_id.in_(numbers))):
        found[number][key] = json.loads(text)
    return found


def _trials(connection: Connection, numbers: Sequence[int]) -> dict[int, list[Any]]:
    """Study to its ended trials: trial_id, state, value, None where there is none that is finite."""
    t, v = models.TrialModel, models.TrialValueModel
    finite = and_(v.trial_id == t.trial_id, v.objective == 0, v.value_type == v.TrialValueType.FINITE)
    asked = select(t.study_id, t.trial_id, t.state, v.value).outerjoin(v, finite)
    asked = asked.where(t.study_id.in_(numbers)).where(t.state.in_(ENDED)).order_by(t.trial_id)
    found = defaultdict[int, list[Any]](list)
    for row in connection.execute(asked):
        found[row.study_id].append(row)
    return found


def _chosen(rows: list[Any], sign: int, most: int) -> list[Any]:
    if len(rows) <= most:
        return rows
    done = [row for row in rows if row.state == TrialState.COMPLETE and row.value is not None]
    best = sorted(done, key=lambda row: sign * float(row.value))[: most // 2]
    taken = {row.trial_id for row in best}
    others = [row for row in rows if row.trial_id not in taken]
    return sorted([*best, *others[-(most - len(best)) :]], key=lambda row: int(row.trial_id))


def _of_trials(connection: Connection, ids: Sequence[int]) -> tuple[dict[int, dict[str, Any]], dict[int, Any]]:
    """Trial to its attributes of JUDGED_BY, and to its constraints."""
    kept, limits = defaultdict[int, dict[str, Any]](dict), defaultdict[int, dict[str, Any]](dict)
    u, s = models.TrialUserAttributeModel, models.TrialSystemAttributeModel
    for part in _parts(ids):
        asked = select(u.trial_id, u.key, u.value_json).where(u.trial_id.in_(part)).where(u.key.in_(JUDGED_BY))
        for number, key, text in connection.execute(asked):
            kept[number][key] = json.loads(text)
        asked = select(s.trial_id, s.key, s.value_json).where(s.trial_id.in_(part)).where(s.key.like("constraints%"))
        for number, key, text in connection.execute(asked):
            limits[number][key] = json.loads(text)
    return kept, limits


def _parts(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), MANY):
        yield ids[start : start + MANY]


def _trial(row: Any, kept: Mapping[int, dict[str, Any]], limits: Mapping[int, dict[str, Any]]) -> EarlierTrial:
    held = row.trial_id not in limits or feasible(create_trial(value=0.0, system_attrs=limits[row.trial_id]))
    value = float(row.value) if row.state == TrialState.COMPLETE and row.value is not None and held else None
    return EarlierTrial(row.state, value, TrialRecord(Draft(kept.get(row.trial_id))))
