"""Open a study in a storage: its space, sampler and pruner, its lease, its orphans put back in the queue."""

from __future__ import annotations

import gc
import math
import re
import warnings
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.config import is_train_config, with_defaults
from search.errors import SearchError, nearest
from search.space.file import SpaceFile
from search.space.space import SearchSpace
from search.study.pruner import ASHA
from search.study.sampler import BoundedTPE
from search.study.storage import retry
from search.study.storage.open import connect, open_storage, redact

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def check_name(name: str) -> None:
    """Raise SearchError for a name that could not be a file's."""
    if not re.fullmatch(r"\w[\w .+-]{0,99}", name):
        raise SearchError(f"study name {name!r}: letters, digits, spaces and . _ + - only, at most 100 (--name)")


def load_study(url: str, name: str) -> Study:
    """An existing study, to be read. Raises SearchError naming the nearest, or those that are there."""
    storage = open_storage(url)
    collecting = gc.isenabled()
    gc.disable()  # of 10,000 trials the collector takes half of the reading's time, and finds nothing
    try:
        study = optuna.load_study(study_name=name, storage=storage)
        study.get_trials(deepcopy=False)  # Optuna keeps those that are finished
        return study
    except KeyError:
        known = {study.study_name for study in storage.get_all_studies()}
        there = nearest(name, known) if known else "; it holds none"
        raise SearchError(f"no study {name!r} in {redact(url)}{there}") from None
    finally:
        if collecting:
            gc.enable()


def open_study(url: str, name: str, space: SpaceFile) -> Study:
    """Create the study `name`, or go on with it. Raises SearchError if it belongs to another space."""
    check_name(name)
    storage = connect(url)
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction=space.direction,
            sampler=space.study_sampler() or BoundedTPE(),
            pruner=_pruner(space),
            load_if_exists=True,
        )
    except retry.ERRORS as error:
        raise SearchError(f"storage {redact(url)} cannot be used: {retry.reason(error)}") from None
    described = space.describe()
    known = study.user_attrs.get("space")
    if known is None and study.get_trials(deepcopy=False):
        raise SearchError(f"the study {name!r} was not made by `search run`; give this one a --name of its own")
    if known is None:
        study.set_user_attr("space", described)
        study.set_user_attr("metric", space.metric)
        study.set_user_attr("own_train", space.train is not None)
        storage.set_study_system_attr(study._study_id, "study:metric_names", [space.metric])  # for the dashboard
    elif known != described:
        raise SearchError(f"the study {name!r} has another space: {_difference(known, described)}; use --name")
    elif study.user_attrs.get("metric") != space.metric:
        raise SearchError(f"the study {name!r} has another metric, {study.user_attrs.get('metric')}; use --name")
    if study.direction.name.lower() != space.direction:
        raise SearchError(f"the study {name!r} is to {study.direction.name.lower()} its {space.metric}; use --name")
    return study


def _pruner(space: SpaceFile) -> BasePruner:
    """The file's; by default ASHA, where the number of epochs is known beforehand."""
    if space.pruner is not None:
        return space.pruner
    known = space.train is None or (isinstance(space.space, SearchSpace) and "epochs" in space.space.settings)
    return ASHA() if known else NopPruner()


def _difference(old: dict[str, str], new: dict[str, str]) -> str:
    name = next(name for name in sorted({*old, *new}) if old.get(name) != new.get(name))
    return f"{name} is {old.get(name, 'not set')} there and {new.get(name, 'not set')} here"


def requeue(study: Study) -> int:
    """Put RUNNING trials, whose driver is gone, back in the queue as themselves; how many.

    Number, parameters and curve stay; the next ``ask`` takes them first. Left RUNNING they would mislead
    the sampler, which counts them as being tried. Optuna does not document this change of state.
    """
    orphans = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for orphan in orphans:
        study._storage.set_trial_state_values(orphan._trial_id, TrialState.WAITING)
    return len(orphans)


def metric_of(study: Study) -> str:
    """The name of what the study optimises."""
    return str(study.user_attrs.get("metric") or metrics_of(study)[0])


def metrics_of(study: Study) -> list[str]:
    """The name of each objective of a study that may have several."""
    count = len(study.directions)
    return study.metric_names or (["value"] if count == 1 else [f"value {i}" for i in range(count)])


def value_of(trial: FrozenTrial) -> float | None:
    """What the trial reached; None if that is no finite number, which would lead every ranking, or several."""
    values = trial.values or []
    return float(values[0]) if len(values) == 1 and math.isfinite(values[0]) else None


def epoch_of(trial: FrozenTrial) -> dict[str, Any]:
    """What its last epoch measured; empty if `search run` did not make it."""
    epoch = trial.user_attrs.get("epoch")
    return epoch if isinstance(epoch, dict) else {}


def config_of(trial: FrozenTrial) -> dict[str, Any]:
    """The settings a trial ran with; its parameters, if plain Optuna code made it."""
    config = trial.user_attrs.get("config")
    settings = dict(config if config and isinstance(config, dict) else trial.params)
    return with_defaults(settings) if is_train_config(settings) else settings


def ranked(study: Study) -> list[FrozenTrial]:
    """The COMPLETE trials, the best first; equal values in the order of their numbers, what is no number last.

    Of several objectives nothing is the best: the trials that no other beats in all, by number.
    """
    if len(study.directions) > 1:
        return sorted(study.best_trials, key=lambda trial: trial.number)
    sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))

    def place(trial: FrozenTrial) -> tuple[float, int]:
        value = value_of(trial)
        return (math.inf if value is None else sign * value, trial.number)

    return sorted(done, key=place)
