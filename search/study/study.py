"""Open a study in a storage: its space, sampler and pruner, its lease, its orphans put back in the queue."""

from __future__ import annotations

import gc
import re
import warnings

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.study import Study
from optuna.trial import TrialState

from search.errors import SearchError, nearest, option
from search.space.file import SpaceFile
from search.space.space import SearchSpace
from search.study.attributes import StudyRecord, metrics_of
from search.study.pruner import ASHA
from search.study.sampler import BoundedTPE, go_on
from search.study.storage import internals, retry
from search.study.storage.open import connect, open_storage, redact

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def check_name(name: str) -> None:
    """Raise SearchError for a study name that cannot be a file name."""
    if not re.fullmatch(r"\w[\w .+-]{0,99}", name):
        raise SearchError(
            f"study name {name!r}: letters, digits, spaces and . _ + - only, at most 100 ({option('name')})"
        )


def load_study(url: str, name: str) -> Study:
    """An existing study, to be read. Raises SearchError, naming the nearest name or all names in the storage."""
    storage = open_storage(url)
    collecting = gc.isenabled()
    gc.disable()  # with 10,000 trials the collector takes half of the time, and finds nothing
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
            directions=[*space.goals.values()],
            sampler=space.keep_fixed(space.sampler or BoundedTPE()),
            pruner=_pruner(space),
            load_if_exists=True,
        )
    except retry.ERRORS as error:
        raise SearchError(f"storage {redact(url)} cannot be used: {retry.reason(error)}") from None
    go_on(study.sampler, len(study.get_trials(deepcopy=False)))
    described, record = space.describe(), StudyRecord(study)
    known = record.space
    if known is None and study.get_trials(deepcopy=False):
        raise SearchError(
            f"the study {name!r} was not made by `search run`; give this one a {option('name')} of its own"
        )
    if known is None:
        record.metric, record.own_train = space.metric, space.train is not None
        record.space = described  # last: another process that starts now takes the study for complete when it is there
        internals.set_system_attr(study, "study:metric_names", [*space.goals])  # for the dashboard
    elif not space.fits(known):
        raise SearchError(
            f"the study {name!r} has another space: {_difference(known, described)}; use {option('name')}"
        )
    _check_goals(study, space)
    if space.train is not None and space.path.is_file() and record.space_file != str(space.path.resolve()):
        record.space_file = str(space.path.resolve())
    return study


def _check_goals(study: Study, space: SpaceFile) -> None:
    """Raise SearchError if the study has other metrics than the space, or other directions."""
    several = len(study.directions) > 1 or space.further
    metrics = metrics_of(study) if several else [StudyRecord(study).metric]
    if metrics != [*space.goals]:
        raise SearchError(
            f"the study {study.study_name!r} has another metric, {', '.join(map(str, metrics))}; use {option('name')}"
        )
    for metric, direction in zip(space.goals, study.directions, strict=True):
        word = direction.name.lower()
        if word != space.goals[metric]:
            raise SearchError(
                f"the study {study.study_name!r} is to {word} its {metric}; use {option('name')}, "
                f'or go on with it by direction = "{word}" in the space file'
            )


def _pruner(space: SpaceFile) -> BasePruner:
    """The file's; by default ASHA, where the number of epochs is known beforehand."""
    if space.pruner is not None:
        return space.pruner
    known = space.train is None or (isinstance(space.space, SearchSpace) and "epochs" in space.space.settings)
    return ASHA() if known and not space.further else NopPruner()


def _difference(old: dict[str, str], new: dict[str, str]) -> str:
    name = next(name for name in sorted({*old, *new}) if old.get(name) != new.get(name))
    return f"{name} is {old.get(name, 'not set')} there and {new.get(name, 'not set')} here"


def requeue(study: Study) -> int:
    """Put RUNNING trials, whose driver is gone, back in the queue as themselves; returns how many.

    Number, parameters and curve stay; the next ``ask`` takes them first. Left RUNNING they would mislead
    the sampler, which counts them as being tried.
    """
    orphans = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for orphan in orphans:
        internals.requeue(study, orphan)
    return len(orphans)
