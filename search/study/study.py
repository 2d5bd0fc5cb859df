"""Open a study in a storage: its space, sampler and pruner, its lease, its orphans put back in the queue."""

from __future__ import annotations

import gc
import itertools
import re
import warnings
from collections import Counter

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import TrialState

from search.errors import SearchError, nearest, option, switch
from search.space.checks import CELLS
from search.space.file import SpaceFile
from search.space.space import SearchSpace
from search.study.attributes import StudyRecord, metrics_of
from search.study.pruner import ASHA
from search.study.replay import misfits
from search.study.sampler import BoundedTPE, fails_on_curves, go_on
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


class OtherSpace(SearchError):
    """The study has another space; `free` is a name for a new study."""

    def __init__(self, message: str, free: str) -> None:
        super().__init__(message)
        self.free = free


def open_study(url: str, name: str, space: SpaceFile, extend: bool = False) -> Study:
    """Create the study `name`, or go on with it. Raises OtherSpace, a SearchError, if it belongs to another space.

    `extend`: go on all the same, if every trial is a point of the space; the study has that space from then on.
    """
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
        said, trials = _difference(known, described), study.get_trials(deepcopy=False)
        unfit = misfits(trials, space)
        if unfit or not extend:
            raise _refused(study, storage, said, unfit, len(trials), extend)
        record.space = described
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
            called = option("direction", repr(word))
            said = called if space.path.suffix == CELLS else f'direction = "{word}" in the space file'
            raise SearchError(
                f"the study {study.study_name!r} is to {word} its {metric}; use {option('name')}, "
                f"or go on with it by {said}"
            )


def _pruner(space: SpaceFile) -> BasePruner:
    """The file's; by default ASHA, where nothing speaks against it."""
    if space.pruner is not None:
        return space.pruner
    return NopPruner() if why_unpruned(space) else ASHA(late=False)


def why_unpruned(space: SpaceFile) -> str | None:
    """Why a space without a pruner of its own has none by default; None: it has one."""
    own = space.train is not None
    remedy = "pruner = ASHA(...) in the space file compares them"
    if space.further and own:
        return f"the trials have several objectives; {remedy}"
    if space.further and fails_on_curves(space.sampler):
        return f"{type(space.sampler).__name__} cannot read the curves of pruned trials with several objectives"
    if own and not (isinstance(space.space, SearchSpace) and "epochs" in space.space.settings):
        return f"how many epochs they take is not known beforehand; {remedy} all the same"
    return None


def _refused(study: Study, storage: RDBStorage, said: str, unfit: Counter[str], count: int, extend: bool) -> OtherSpace:
    name = study.study_name
    taken = {other.study_name for other in storage.get_all_studies()}
    free = next(f"{name}-{number}" for number in itertools.count(2) if f"{name}-{number}" not in taken)
    text = f"the study {name!r} has another space: {said}"
    reasons = ", ".join(f"{number} for {reason}" for reason, number in unfit.most_common())
    if extend:
        return OtherSpace(
            f"{text}; {switch('extend')} needs trials that are points of it, but of {count}: {reasons}", free
        )
    same = "" if unfit else f"; every trial of it is a point of this space: {switch('extend')} goes on with it"
    return OtherSpace(text + same, free)


def _difference(old: dict[str, str], new: dict[str, str]) -> str:
    """Each setting that differs, as a space file writes it."""
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return ", ".join(f"{name} is {_words(old.get(name))} there and {_words(new.get(name))} here" for name in names)


_RANGE = re.compile(r"(Float|Int)Distribution\(high=(.*?), log=(.*?), low=(.*?), step=(.*?)\)")


def _words(text: str | None) -> str:
    """A setting's text in the words of a space file."""

    def written(found: re.Match[str]) -> str:
        kind, high, log, low, step = found.groups()
        more = (", log=True" if log == "True" else "") + (f", step={step}" if step not in ("None", "1") else "")
        return f"{kind}({low}, {high}{more})"

    return "not set" if text is None else _RANGE.sub(written, text)


def requeue(study: Study) -> int:
    """Put RUNNING trials, whose driver is gone, back in the queue as themselves; returns how many.

    Number, parameters and curve stay; the next ``ask`` takes them first. Left RUNNING they would mislead
    the sampler, which counts them as being tried.
    """
    orphans = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for orphan in orphans:
        internals.requeue(study, orphan)
    return len(orphans)
