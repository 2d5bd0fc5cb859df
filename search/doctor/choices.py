"""Every choice of every dimension, built once, so that no trial fails an hour into the run."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from optuna.samplers import RandomSampler
from torch import nn

from search.config import TrainConfig, make_config
from search.data.inputs import inputs
from search.data.registry import opened
from search.doctor.case import Finding
from search.doctor.preflight import check_forward, prepared, sizes
from search.errors import SearchError, first_line
from search.format import plural
from search.models import check_name
from search.space.file import SpaceFile
from search.space.points import Point, at, draw, neighbours
from search.train.learner import BUILT
from search.train.optimizers import make_optimizer
from search.train.schedules import Schedule

SECONDS = 20.0
"""For points drawn at random, once every option was taken."""
DRAWS = 30


class Builder:
    """Builds what a trial would train, without training it; each model but once."""

    def __init__(self, root: Path, custom: bool = False) -> None:
        """`custom`: the space has a train() of its own, so nothing is built."""
        self._root, self._custom = root, custom
        self._built: dict[tuple[Any, ...], str] = {}

    def error(self, settings: dict[str, Any]) -> str:
        """What is wrong with a point of a space; nothing if it can be built and takes a batch."""
        if self._custom:
            return ""
        try:
            config = make_config(settings)
            classes, images = sizes(config.dataset, self._root)
            if config.subset is not None and config.subset < classes:
                return f"subset={config.subset}: fewer images than the {classes} classes"
            images = min(images, config.subset or images)
            _make_schedule(config, math.ceil(images / config.batch_size))
            check_name(config.model)
        except SearchError as error:
            return str(error)
        smallest = min(images % config.batch_size or min(config.batch_size, images), 2)
        key = (*(getattr(config, name) for name in BUILT), smallest, config.batch_size == 1)
        if key not in self._built:
            self._built[key] = self._step(config, classes, images)
        return self._built[key]

    def _step(self, config: TrainConfig, classes: int, images: int) -> str:
        """What is wrong with the model, its weights, and the smallest batch of `images` that it gets."""
        source = opened(config.dataset, self._root)
        try:
            spec = inputs(config.model, source, config.image_side, config.weights)
            check_forward(config, spec, prepared(config, spec, classes), classes, images)
        except SearchError as error:
            return str(error)
        except Exception as error:  # the user's own code
            return f"{type(error).__name__}: {first_line(error)}"
        return ""


def _make_schedule(config: TrainConfig, steps: int) -> None:
    """Optimizer and schedule of `config`, on a model of one weight."""
    try:
        Schedule(make_optimizer(nn.Linear(1, 1), config), config, steps)
    except Exception as error:  # torch's own checks
        raise SearchError(f"optimizer and schedule: {type(error).__name__}: {error}") from None


def first_sound(space: SpaceFile, builder: Builder) -> tuple[Point | None, str]:
    """The middle of the space, else a neighbour of it, else a random point that can be built; what the middle lacks."""
    base = at(space, {})
    error = builder.error(base.settings)
    if not error:
        return base, ""
    for _, _, point in neighbours(space, base):
        if isinstance(point, Point) and not builder.error(point.settings):
            return point, error
    for seed in range(DRAWS):
        point = draw(space, RandomSampler(seed=seed))
        if not builder.error(point.settings):
            return at(space, point.params), error
    return None, error


def check(space: SpaceFile, base: Point, builder: Builder) -> Finding:
    """Build every option of every dimension once, the rest as in `base`; then DRAWS random points, SECONDS at most.

    A space with a train() of its own is only asked for its points.
    """
    wrong: list[str] = []
    bad: set[tuple[str, Any]] = set()
    names, count = set(base.distributions), 1
    for name, option, point in neighbours(space, base):
        names.add(name)
        count += 1
        error = str(point) if isinstance(point, SearchError) else builder.error(point.settings)
        if error:
            bad.add((name, option))
            wrong.append(f"{name}={option}: {error}")
    end, drawn = time.monotonic() + SECONDS, 0
    for seed in range(DRAWS if names else 0):
        if time.monotonic() > end:
            break
        drawn += 1
        error, params = _drawn(space, seed, builder)
        if error and not bad & set(params.items()):
            words = ", ".join(f"{name}={option}" for name, option in params.items() if isinstance(option, str))
            wrong.append(f"{words or 'a random point'}: {error}")
            break
    ends = plural(len(names), "dimension")
    seen = f"{plural(count, 'point')} with every option and both ends of {ends}, and {drawn} random ones"
    if not wrong:
        return Finding("ok", "choices", f"{seen}, build and take a batch" if space.train is None else seen)
    more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
    return Finding("FAIL", "choices", "; ".join(wrong[:3]) + more, "mend these options or take them out of the space")


def _drawn(space: SpaceFile, seed: int, builder: Builder) -> tuple[str, dict[str, Any]]:
    """What is wrong with a random point, and its parameters."""
    try:
        point = draw(space, RandomSampler(seed=seed))
    except SearchError as error:
        return str(error), {}
    return builder.error(point.settings), point.params
