"""The first points of a new study, chosen by what the other studies of its storage know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.samplers import RandomSampler
from optuna.study import Study
from optuna.trial import BaseTrial, Trial, TrialState

from search.config import make_config
from search.space.file import SpaceFile
from search.space.points import outside
from search.space.values import plain
from search.study.attributes import StudyRecord, TrialRecord, loss_signs
from search.study.replay import Replay, meant
from search.study.start.coordinates import Place, nearness, place_of, rates_of, strangers, units_of
from search.study.start.scores import APART, Past, promise, spread_out, standings
from search.study.storage import internals
from search.study.storage.earlier import EarlierStudy, earlier
from search.study.storage.rdb import Storage

POINTS = 6
"""So many points go first, each followed by one that the sampler draws at random."""
CANDIDATES = 500
"""So many random points of the new space are judged, and the best of each earlier study that it has."""
BEST, MOST_BEST = 10, 200
"""At most so many of each study, and of all."""
STUDIES, TRIALS = 50, 100
"""At most so many studies are read, the latest first, and of each so many trials."""
ENOUGH = 5
"""With fewer completed trials a study has no middle to be better than."""
_CONFIRMS, _SMALL = "confirming another", f"with fewer than {ENOUGH} completed trials"
_OTHERWISE, _FOREIGN = "of another direction or several metrics", "not made by `search run`"
UNREMARKABLE = {_CONFIRMS, _SMALL, _OTHERWISE, _FOREIGN}
"""Why a study is left out that nobody expects to count."""
SAME_DATA = 3.0
"""How much a study of the same data counts; another counts 1."""
TOP = 0.75
"""A study promises a point if it promises less of so large a share of the others."""


_Kept = tuple[EarlierStudy, list[float | None], list[dict[str, Any]]]
"""A study, and the value and the settings of each of its trials."""
_Suggested = tuple[dict[str, Any], dict[str, Any]]
"""Parameters and settings of a point."""


@dataclass(frozen=True)
class Point:
    """A point of the new space."""

    params: dict[str, Any]
    place: Place


@dataclass
class Knowledge:
    """What earlier studies know of the points of a new space."""

    pasts: list[Past] = field(default_factory=list)
    points: Sequence[Point] = ()
    powers: Sequence[str] = ()
    """The settings on a log scale."""
    same: set[str] = field(default_factory=set)
    """The names of the studies of the same data."""
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def names(self) -> list[str]:
        return [past.name for past in self.pasts]

    def of(self, names: Collection[str]) -> Knowledge:
        """What those studies alone know."""
        return replace(self, pasts=[past for past in self.pasts if past.name in names])

    @cached_property
    def units(self) -> dict[str, float]:
        return units_of([point.place for point in self.points])

    def best(self, count: int) -> list[tuple[Point, list[str]]]:
        """The most promising points, far from each other, the best first, each with the studies that promise it.

        A point that none of them promises is left out.
        """
        if not self.pasts or not self.points:
            return []
        places = [point.place for point in self.points]
        each = np.array([promise(past, places, self.units) for past in self.pasts])
        whole: NDArray[np.float64] = np.average(each, axis=0, weights=[past.weight for past in self.pasts])
        limits, found = np.quantile(each, TOP, axis=1), []
        for chosen in spread_out(whole, places, self.units, count):
            scored = zip(self.names, each, limits, strict=True)
            if names := [name for name, score, limit in scored if score[chosen] >= limit]:
                found.append((self.points[chosen], names))
        return found


def knowledge(study: Study, space: SpaceFile) -> Knowledge:
    """What the other studies of the storage know of the points of `space`. Writes nothing.

    A study counts that `search run` made, with the same single direction, ENOUGH completed trials, and a setting
    that varied there and varies here. Raises what the storage raises.
    """
    storage = internals.uncached(internals.storage_of(study))
    if len(study.directions) > 1 or not isinstance(storage, Storage):
        return Knowledge()
    kept, left_out = _comparable_ones(storage, study, space)
    asked = optuna.create_study(sampler=space.keep_fixed(RandomSampler(seed=0)))
    drawn, logs = _suggested(space, [asked.ask() for _ in range(CANDIDATES)] if kept else [])
    ours = rates_of(place_of(settings) for _, settings in drawn)
    rates = [rates_of(map(place_of, configs)) for _, _, configs in kept]
    akin = [each for each, theirs in zip(kept, rates, strict=True) if not strangers(ours, theirs)]
    if len(akin) < len(kept):
        left_out["of optimizers whose rates say nothing of this one's"] = len(kept) - len(akin)
    if not akin:
        return Knowledge(left_out=left_out)
    points, powers = _points(space, drawn, logs, akin, ours & set[str]().union(*rates))
    found = Knowledge(points=points, powers=powers, left_out=left_out)
    data = _prints(StudyRecord(study)), {str(point.place["dataset"]) for point in points if "dataset" in point.place}
    here = [point.place for point in points]
    for other, values, configs in akin:
        places = [place_of(config, powers) for config in configs]
        known = units_of(places)
        both = {name: unit for name, unit in found.units.items() if name in known}
        if not both:
            left_out["without a setting that varies in both"] += 1
            continue
        if all(nearness(here[start : start + 50], places, both).max() < APART for start in range(0, len(here), 50)):
            left_out["of ranges far from these"] += 1
            continue
        if _same_data(*data, other, configs):
            found.same.add(other.name)
        found.pasts.append(Past(other.name, places, standings(values), SAME_DATA if other.name in found.same else 1.0))
    return found


def _comparable_ones(storage: Storage, study: Study, space: SpaceFile) -> tuple[list[_Kept], Counter[str]]:
    """The studies that measure the same, and how many others there are, by the reason that they do not count."""
    kept, found = list[_Kept](), earlier(storage, study.direction, internals.study_id(study), STUDIES, TRIALS)
    left_out = Counter({_OTHERWISE: found.otherwise, f"before the latest {STUDIES}": found.older})
    for other in found.studies:
        values, configs = _tried(other, -loss_signs(study)[0])
        if other.record.confirms is not None:
            left_out[_CONFIRMS] += 1
        elif other.record.space is None:
            left_out[_FOREIGN] += 1
        elif sum(value is not None for value in values) < ENOUGH:
            left_out[_SMALL] += 1
        elif not _comparable(other.record, space):
            left_out["of other training"] += 1
        else:
            kept.append((other, values, configs))
    return kept, +left_out


def _comparable(record: StudyRecord, space: SpaceFile) -> bool:
    """Whether equal names mean the same: a train() of the user's own may call anything lr, but for one metric."""
    own = space.train is not None
    return bool(record.own_train) == own and (not own or record.metric == space.metric)


def _tried(other: EarlierStudy, sign: int) -> tuple[list[float | None], list[dict[str, Any]]]:
    """The value of each trial, the higher the better, None of one that was pruned or diverged; and its config."""
    values, configs = list[float | None](), list[dict[str, Any]]()
    for trial in other.trials:
        config = trial.record.config
        failed = trial.state == TrialState.FAIL and not (trial.record.error or "").startswith("diverged")
        if config is not None and not failed and trial.record.refused is None:
            values.append(None if trial.value is None else sign * trial.value)
            configs.append(config)
    return values, configs


def _best(values: Sequence[float | None], configs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    ranked = sorted((-value, number) for number, value in enumerate(values) if value is not None)
    return [configs[number] for _, number in ranked]


def _points(
    space: SpaceFile, drawn: Sequence[_Suggested], logs: set[str], kept: Sequence[_Kept], heard: set[str]
) -> tuple[list[Point], list[str]]:
    """The `drawn` points, and the best of the studies that the space has; and the names on a log scale.

    Points with a kind of learning rate that no study has tried, none of `heard`, are left to the sampler.
    """
    most = min(BEST, MOST_BEST // len(kept))
    known = [config for each in kept for config in _best(*each[1:])[:most]]
    best, more = _suggested(space, [Replay(meant(space, dict(config), config)) for config in known])
    powers = sorted(logs | more)
    points = [Point(params, place_of(settings, powers)) for params, settings in (*drawn, *best)]
    return [point for point in points if not strangers(rates_of([point.place]), heard)], powers


def _suggested(space: SpaceFile, trials: Iterable[BaseTrial]) -> tuple[list[_Suggested], set[str]]:
    """Parameters and settings of the trials that are points of the space; and the names on a log scale."""
    found, powers = list[_Suggested](), set[str]()
    for trial in trials:
        try:
            settings = space.suggest(trial)
            drawn = internals.known(trial) if isinstance(trial, Trial) else trial  # a Trial copies what it tells
            if space.fixed and outside(drawn.params, drawn.distributions):
                continue
            settings = dict(make_config(settings)) if space.train is None else plain(settings)
        except Exception:  # no point of the space, or what the user's space(trial) raises; a trial will say it
            continue
        powers |= {name for name, kind in drawn.distributions.items() if getattr(kind, "log", False)}
        found.append((dict(drawn.params), settings))
    return found, powers


def _same_data(prints: set[str], names: set[str], other: EarlierStudy, configs: Sequence[dict[str, Any]]) -> bool:
    """By the fingerprints of the data, where both are known, else by the name of the data set."""
    theirs = _prints(other.record)
    if prints and theirs:
        return bool(prints & theirs)
    return any(str(config["dataset"]) in names for config in configs if "dataset" in config)


def _prints(record: StudyRecord) -> set[str]:
    return {
        str(kept["fingerprint"]) for kept in record.data.values() if isinstance(kept, dict) and "fingerprint" in kept
    }


def queue_learnt(study: Study, found: Knowledge, count: int = POINTS) -> int:
    """Queue the best points that the study has not, each followed by one that the sampler draws; returns how many."""
    queued = 0
    for point, names in found.best(count):
        before, promised = len(study.get_trials(deepcopy=False)), TrialRecord()
        promised.learnt = names
        study.enqueue_trial(point.params, user_attrs=promised.stored, skip_if_exists=True)
        if len(study.get_trials(deepcopy=False)) > before:
            study.enqueue_trial({})
            queued += 1
    return queued


def is_learnt(trial: Any) -> bool:
    """Whether earlier studies chose the trial's point."""
    return bool(TrialRecord(trial).learnt)


def learnt(study: Study) -> int:
    """How many trials of the study have such a point."""
    return sum(map(is_learnt, study.get_trials(deepcopy=False)))
