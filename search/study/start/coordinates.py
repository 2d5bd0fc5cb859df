"""The settings of a trial in coordinates in which the optima of different problems lie close."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.config import is_train_config, with_defaults

Place = Mapping[str, float | str]
"""Coordinate to number, or to a text where values have no order."""

UNITS = {
    "sgd rate": 0.5,
    "adam rate": 0.5,
    "averaging": 0.5,
    "weight decay": 1.5,
    "first decay": 0.25,
    "whole decay": 1.0,
    "warm-up": 0.25,
    "dropout": 0.25,
    "label_smoothing": 0.1,
    "batch_size": 0.5,
}
"""How far apart two values are strangers; of rates, averaging and decays in powers of ten, else in the setting's own
units. Of every other number an eighth of its range."""
RATES = ("sgd rate", "adam rate")
LEAST_DECAY = 1e-8
"""A weight decay below it is as good as none."""
POWERS = ("batch_size", "grad_clip", "layer_decay")
"""Further settings that count in powers of ten."""
SHARES = ("dropout", "label_smoothing")
"""Units of UNITS that hold for fractions: a train() of one's own may count in percent."""
_SEEN = {"lr", "momentum", "nesterov", "optimizer", "weight_decay", "schedule", "step_size", "gamma", "warmup_epochs"}
_APART = {"seed", "epochs", "subset", "precision"}
"""What says nothing of where a good point lies."""


def place_of(settings: Mapping[str, Any], powers: Sequence[str] = ()) -> dict[str, float | str]:
    """The coordinates of a trial's settings.

    Of the built-in training, SGD's rate is that of a step in the long run, log10(lr / (1 - momentum)), and its memory
    log10(1 - momentum) (Smith et al., arXiv 1711.00489, section 4). Adam's rate is log10(lr): its steps have no scale.
    A step schedule is when it first decays, as a share of the epochs, and by how many powers of ten in all.
    Other settings are as they are.

    Args:
        settings: by name, of the built-in training or of a train() of one's own.
        powers: settings of an own train() that are searched on a log scale.
    """
    known = is_train_config(settings)
    settings = with_defaults(settings) if known else settings
    found: dict[str, float | str] = _trained(settings) if known else {}
    for name, value in settings.items():
        if known and name in _SEEN | _APART:
            continue
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if number and (name in powers or name in POWERS) and value > 0:
            found[name] = math.log10(value)
        else:
            found[name] = float(value) if number else str(list(value) if isinstance(value, tuple) else value)
    return found


def _trained(settings: Mapping[str, Any]) -> dict[str, float | str]:
    epochs, lr, momentum = settings["epochs"], settings["lr"], settings["momentum"]
    found: dict[str, float | str] = {"optimizer": str(settings["optimizer"]), "schedule": str(settings["schedule"])}
    if settings["optimizer"] == "sgd":
        found |= {"sgd rate": math.log10(lr / (1 - momentum)), "averaging": math.log10(1 - momentum)}
        found["nesterov"] = str(settings["nesterov"])
    else:
        found["adam rate"] = math.log10(lr)
    found["weight decay"] = math.log10(max(settings["weight_decay"], LEAST_DECAY))
    found["warm-up"] = settings["warmup_epochs"] / epochs
    if settings["schedule"] == "step" and settings["step_size"] and settings["gamma"]:
        decays = (epochs - 1) // settings["step_size"]
        found["first decay"] = min(settings["step_size"] / epochs, 1.0)
        found["whole decay"] = decays * math.log10(settings["gamma"])
    return found


def rates_of(places: Iterable[Place]) -> set[str]:
    """The kinds of learning rates that the places have; those of a train() of one's own by a setting `optimizer`."""
    return {kind for place in places for kind in _rates(place)}


def _rates(place: Place) -> list[str]:
    optimizer = place.get("optimizer")
    if (found := [name for name in RATES if name in place]) or not isinstance(optimizer, str):
        return found
    return [kind for kind in RATES if kind.partition(" ")[0] in optimizer.lower()]


def strangers(ours: set[str], theirs: set[str]) -> bool:
    """Whether both have learning rates, and none of the same kind: those of SGD say nothing of Adam's, nor of weight
    decays beside them."""
    return bool(ours) and bool(theirs) and not ours & theirs


def units_of(places: Sequence[Place]) -> dict[str, float]:
    """The coordinates in which `places` differ, and how far apart two values of each are strangers; 0: of texts."""
    found: dict[str, float] = {}
    for name in sorted({name for place in places for name in place}):
        values = [place[name] for place in places if name in place]
        numbers = [value for value in values if not isinstance(value, str)]
        if len(set(values)) < 2 and len(values) == len(places):
            continue
        if len(numbers) < len(values):
            found[name] = 0.0
        else:
            unit = None if name in SHARES and max(numbers) > 1 else UNITS.get(name)
            found[name] = unit or (max(numbers) - min(numbers)) / 8 or 1.0
    return found


def nearness(ours: Sequence[Place], theirs: Sequence[Place], units: Mapping[str, float]) -> NDArray[np.float64]:
    """How near each of our places is to each of theirs: (ours, theirs), 1 at the same, near 0 at strangers.

    A Gaussian kernel over the coordinates of `units`. Different texts, and a coordinate that only one of two has, count
    as one unit.
    """
    distance = np.zeros((len(ours), len(theirs)))
    for name, unit in units.items():
        a, b = ([place.get(name) for place in places] for places in (ours, theirs))
        if unit:
            x, y = (np.array([math.nan if isinstance(v, str) or v is None else v for v in part]) for part in (a, b))
            apart = (x[:, None] - y[None]) ** 2 / unit**2
            neither = np.isnan(x)[:, None] & np.isnan(y)[None]
            distance += np.where(neither, 0.0, np.where(np.isnan(apart), 1.0, apart))
        else:
            ids = {value: number for number, value in enumerate(sorted({str(v) for v in [*a, *b]}))}
            x, y = (np.array([ids[str(v)] for v in part]) for part in (a, b))
            distance += (x[:, None] != y[None]).astype(float)
    near: NDArray[np.float64] = np.exp(-distance / 2)
    return near
