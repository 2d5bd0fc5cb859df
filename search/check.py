"""What can be known before the first trial: that every model, data set, weights file and frozen prefix is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import optuna
import torch

from search.config import TrainConfig, make_config
from search.data import cache
from search.data.datasets import open_source
from search.errors import SearchError
from search.models import build, check_name, image_spec
from search.space import SearchSpace
from search.spacefile import SpaceFile
from search.train.freeze import freeze


def _configs(space: SpaceFile) -> Iterator[TrainConfig]:
    """Configs that between them use every option; of a define-by-run space, one drawn at random."""
    if isinstance(space.space, SearchSpace):
        yield from map(make_config, space.space.combinations())
        return
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    try:
        settings = space.suggest(trial)
    except Exception as error:  # the user's own function
        raise SearchError(f"{space.path}: space(trial) raised {type(error).__name__}: {error}") from None
    if not isinstance(settings, dict):
        kind = type(settings).__name__
        raise SearchError(f"{space.path}: space(trial) returned a {kind}; it must be a dict of settings")
    try:
        yield make_config(settings)
    except SearchError as error:
        raise SearchError(f"{space.path}: space(trial): {error}") from None


def preflight(space: SpaceFile, data_root: Path) -> None:
    """Find every data set and build every model of `space` once, frozen and loaded as its trials will be.

    Raises SearchError for the first that is not there. Trains nothing and creates nothing.
    """
    if space.train is not None:
        return
    seen = set()
    for config in _configs(space):
        key = (config.model, config.dataset, config.weights, config.frozen)
        if key in seen:
            continue
        seen.add(key)
        try:
            check_name(config.model)
            open_source(config.dataset, data_root)
            # Without weights no value matters: the meta device builds the largest model in no time.
            with torch.device("cpu" if config.weights else "meta"):
                freeze(build(config.model, 10, weights=config.weights), config.frozen)
        except SearchError as error:
            raise SearchError(f"{space.path}: {error}") from None


def prepare(space: SpaceFile, data_root: Path, progress: Callable[[str, int, int], None]) -> None:
    """Decode the images that the trials will see, once, before any worker starts; the test split stays sealed.

    `progress` is called with the data set, how many images are done, and of how many.
    """
    if space.train is not None:
        return
    for model, dataset in sorted({(config.model, config.dataset) for config in _configs(space)}):
        spec = image_spec(model)
        source = open_source(dataset, data_root)
        cache.load(source, spec.resize if spec else None, ("train", "val"), partial(progress, dataset))
