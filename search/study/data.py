"""Which data and weights a study's numbers are of, and what its models take: kept with it, and used when it goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from optuna.study import Study

from search.data.identity import Identity
from search.errors import SearchError, option
from search.format import plural
from search.space.file import SpaceFile
from search.study.attributes import StudyRecord, TrialRecord, config_of


class Found(NamedTuple):
    """What a check before the first trial found, or what a study was made with."""

    data: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    """Data set, as a config names it, to what `Identity.to_json` says of it."""
    weights: Mapping[str, str] = MappingProxyType({})
    """Weights, as `weights_name` names them, to what tells their content from others."""
    sizes: Mapping[str, Mapping[str, float]] = MappingProxyType({})
    """Kind of model, as `kind_of` names it, to what it takes, by the names of `config.COSTS`."""


class Ready(NamedTuple):
    """What a check before the first trial says. It stands here: the driver that receives it imports no torch."""

    notes: list[str]
    """Lines for the user."""
    data: dict[str, dict[str, Any]]
    """Data set, as a config names it, to what tells it from others, as a study keeps it, and lines on it, `said`."""
    weights: dict[str, str]
    """Weights, as a study names them, to what tells their content from others."""
    wrong: Sequence[str]
    """Of a confirmation, what is wrong with each config; empty if nothing."""
    sizes: Mapping[str, Mapping[str, float]]
    """Kind of model, as a study names it, to what it takes of the costs that the space asks for."""


def made_with(study: Study) -> Found:
    """What is kept with the study."""
    record = StudyRecord(study)
    return Found(record.data, record.weights, record.sizes)


def weights_name(settings: Mapping[str, Any]) -> str:
    """How a config's weights are named, with the model and the side that they are fitted to; without them, nothing."""
    if settings.get("weights") is None:
        return ""
    side = settings.get("image_side")
    return f"{settings.get('model')} {settings['weights']}" + (f" at {side} px" if side is not None else "")


def check(study: Study, found: Found) -> None:
    """Raise SearchError if the study was made with other data or weights than `found`; names what differs."""
    known, name = made_with(study), study.study_name
    begin = f"{option('name', 'new')} {option('source', name)} begins a new one with its best"
    for dataset, stored in known.data.items():
        old, new = Identity.from_json(stored), Identity.from_json(found.data.get(dataset))
        if old is not None and new is not None and old.is_other(new):
            what = f"with other data of the name {dataset}: {difference(old, new)}"
            raise SearchError(f"the study {name!r} was made {what}; {begin}")
    for weights, digest in known.weights.items():
        if found.weights.get(weights, digest) != digest:
            what = f"with other weights of the name {weights}: their content has changed since"
            raise SearchError(f"the study {name!r} was made {what}; {begin}")


def settle(study: Study, found: Found) -> list[str]:
    """Keep with the study what is not known of its data and weights yet; lines for the user. Raises SearchError."""
    check(study, found)
    record, known = StudyRecord(study), made_with(study)
    fresh = {dataset: dict(stored) for dataset, stored in found.data.items() if dataset not in known.data}
    weights = {name: digest for name, digest in found.weights.items() if name not in known.weights}
    lines = _unknown(study, fresh, weights) if fresh or weights else []
    for dataset, stored in known.data.items():  # of an older version, which did not know the test split's content
        if isinstance(stored, dict) and "test" not in stored and "test" in found.data.get(dataset, {}):
            fresh[dataset] = stored | {"test": found.data[dataset]["test"]}
    if fresh:
        record.data = dict(known.data) | fresh
    if weights:
        record.weights = dict(known.weights) | weights
    if found.sizes.keys() - known.sizes.keys():  # a size is measured once
        record.sizes = {**found.sizes, **known.sizes}
    return lines


KIND = ("model", "hidden", "dataset", "image_side", "weights", "precision")
"""The settings that decide what a model and its images take."""


def kind_of(settings: Mapping[str, Any]) -> str:
    """How `sizes` name a kind of model: the values of KIND, as JSON."""
    return json.dumps([settings.get(name) for name in KIND])


class Sizes:
    """What the models of a study take, each kind measured once; and which points exceed the limits."""

    def __init__(self, study: Study, space: SpaceFile) -> None:
        self._record, self.costs, self._limits = StudyRecord(study), space.costs, dict(space.limits)
        self._known: dict[str, Mapping[str, float]] = dict(self._record.sizes) if self.costs else {}
        if self._record.limits != self._limits:
            self._record.limits = self._limits

    def of(self, settings: Mapping[str, Any]) -> dict[str, float] | None:
        """What a point takes of the costs that the study asks for; None if that is not measured yet."""
        if not self.costs:
            return {}
        found = self._known.get(kind_of(settings), {})
        return {name: found[name] for name in self.costs} if {*self.costs} <= found.keys() else None

    def learn(self, settings: Mapping[str, Any], size: Mapping[str, float]) -> None:
        """Keep what a worker has measured; what is known stays."""
        kind = kind_of(settings)
        self._known[kind] = {**size, **self._known.get(kind, {})}
        self._record.sizes = self._known

    def excess(self, size: Mapping[str, float]) -> str:
        """Why a point of that size is refused: the first limit that it exceeds; empty if it meets all."""
        return excess(size, self._limits)


def excess(size: Mapping[str, float], limits: Mapping[str, float]) -> str:
    """Which of the limits is exceeded, in words; empty if none is."""
    over = [name for name, most in limits.items() if size.get(name, 0.0) > most]
    return f"{over[0]}={limits[over[0]]:g} is the limit, and it takes {size[over[0]]:.4g}" if over else ""


def check_limits(place: str, sizes: Mapping[str, Mapping[str, float]], limits: Mapping[str, float]) -> str:
    """How many kinds of model meet the limits, for the user; empty if all do.

    `place`: where the limits stand. Raises SearchError if none meets them.
    """
    for name, most in limits.items():
        least = min(sizes, key=lambda kind: sizes[kind][name])
        if sizes[least][name] > most:
            said = f"the least is {sizes[least][name]:.4g}, of {_called(least)}"
            raise SearchError(f"{place}: limits: no option can meet {name}={most:g}: {said}")
    fit = [kind for kind in sizes if not excess(sizes[kind], limits)]
    words = " and ".join(f"{name}={most:g}" for name, most in limits.items())
    if not fit:
        raise SearchError(f"{place}: limits: no option can meet {words} together")
    if len(fit) == len(sizes):
        return ""
    return f"of {len(sizes)} kinds of model and image {len(fit)} meet {words}; points of others do not train"


def _called(kind: str) -> str:
    settings = dict(zip(KIND, json.loads(kind), strict=True))
    side = settings["image_side"]
    return f"{settings['model']}{'' if side is None else f' at {side} px'}"


def _unknown(study: Study, data: Mapping[str, Any], weights: Mapping[str, str]) -> list[str]:
    """Lines on earlier trials of which it is not known what they saw, or began with."""
    trials, lines = [trial for trial in study.get_trials(deepcopy=False) if TrialRecord(trial).epoch], []
    for dataset in data:
        old = [trial for trial in trials if TrialRecord(trial).data is None]
        count = sum(config_of(trial).get("dataset") == dataset for trial in old)
        if count:
            lines.append(_said(count, f"which data of the name {dataset} {{they}} saw", "other data"))
    for name in weights:
        old = [trial for trial in trials if TrialRecord(trial).weights is None]
        count = sum(weights_name(config_of(trial)) == name for trial in old)
        if count:
            lines.append(_said(count, f"which weights of the name {name} {{they}} began with", "others"))
    return lines


def _said(count: int, what: str, others: str) -> str:
    they, them = ("it", "it") if count == 1 else ("they", "them")
    unknown = f"of {plural(count, 'earlier trial')} it is not known {what.replace('{they}', they)}"
    return f"{unknown}, for an older version ran {them}; from now on {others} are refused"


def difference(old: Identity, new: Identity) -> str:
    """What differs between two data sets, there and here."""
    gone = [name for name in old.classes if name not in new.classes]
    more = [name for name in new.classes if name not in old.classes]
    parts = [f"the class{'es' if gone[1:] else ''} {_some(gone)} {'are' if gone[1:] else 'is'} gone"] * bool(gone)
    parts += [f"the class{'es' if more[1:] else ''} {_some(more)} {'are' if more[1:] else 'is'} new"] * bool(more)
    for split in ("train", "val", "test"):
        there, here = old.images.get(split, 0), new.images.get(split, 0)
        if there != here:
            parts.append(f"{split} had {plural(there, 'image')} and has {here:,}")
    if parts:
        return ", ".join(parts)
    if old.fingerprint == new.fingerprint and old.classes == new.classes:
        return "the pictures of the test split are others"
    order = " in another order" if old.classes != new.classes else ""
    return f"the classes and their number are the same{order}, the pictures, their names or their classes are not"


def _some(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:3]))
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
