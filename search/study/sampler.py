"""The default sampler, Optuna's TPE over at most a thousand trials; seeds in a study that goes on; grids that fit."""

from __future__ import annotations

import copy
import heapq
import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import TrialPruned
from optuna.samplers import BaseSampler, GridSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.errors import SearchError, nearest, option
from search.format import plural
from search.space.checks import place_of
from search.space.file import SpaceFile
from search.space.points import check_fixed, drawn, outside
from search.space.space import Choice, SearchSpace
from search.study.attributes import feasible
from search.study.pruner import ASHA
from search.study.replay import Replay, Unfit
from search.study.storage import internals
from search.study.storage.internals import trials_of

BEST = 100
"""TPE's good group has at most 25."""
LATEST = 900
STARTUP = 10
"""So many trials end before TPE models them, by Optuna's default; those before are random."""
MOST = 2000
"""So many points of a grid are looked at, which its sampler has shuffled; a trial is checked by itself."""
DRAWN = 20
"""So many random points show what varies in a define-by-run space."""


class BoundedTPE(TPESampler):
    """TPE (Bergstra et al., 2011) over the best hundred and the latest nine hundred trials of a long study.

    TPE models every trial that there is, so that the ten thousandth suggestion costs many times the first; its weights
    already make little of old trials. Up to a thousand trials it suggests what TPE does.
    """

    def __repr__(self) -> str:
        return "BoundedTPE()"

    def _sample(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        view: Any = _Bounded(study)
        return super()._sample(view, trial, search_space)


class _Bounded:
    """A study that has forgotten trials that are neither good nor recent."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(self, *args: Any, **kwargs: Any) -> list[FrozenTrial]:
        trials = trials_of(self._study, *args, **kwargs)
        if len(self._study.directions) > 1:
            return [_without_curve(trial) if trial.state == TrialState.PRUNED else trial for trial in trials]
        return bounded(trials, self._study.directions)


def _without_curve(trial: FrozenTrial) -> FrozenTrial:
    """A pruned trial of several objectives as TPE takes it: it ranks curves, which are of one, and raises."""
    bare = copy.copy(trial)
    bare.intermediate_values = {}
    return bare


def bounded(trials: list[FrozenTrial], directions: list[StudyDirection]) -> list[FrozenTrial]:
    """The best BEST completed and the latest LATEST of the trials, in their order; all of a study of several goals."""
    if len(trials) <= BEST + LATEST or len(directions) > 1:
        return trials
    older, latest = trials[:-LATEST], trials[-LATEST:]
    sign = 1 if directions[0] == StudyDirection.MAXIMIZE else -1
    done = [trial for trial in older if trial.state == TrialState.COMPLETE and trial.values]
    best = heapq.nlargest(BEST, done, key=lambda trial: (feasible(trial), sign * (trial.values or [0.0])[0]))
    return [*sorted(best, key=lambda trial: trial.number), *latest]


def go_on(sampler: BaseSampler, trials: int) -> None:
    """Seed a seeded sampler anew, from its seed and the number of trials so far, so that it does not repeat itself.

    Its random numbers are found as numpy's RandomState and Generator, and Python's Random, in whatever it consists of.
    """
    if not trials:
        return
    for source in _sources(sampler):
        if isinstance(source, random.Random):
            source.seed(f"{source.getrandbits(128)} {trials}")
        elif isinstance(source, np.random.RandomState):
            source.seed(np.random.SeedSequence([*source.bytes(16), trials]).generate_state(8))
        else:
            seed = np.random.SeedSequence([*source.bytes(16), trials])
            source.bit_generator.state = type(source.bit_generator)(seed).state


def _sources(sampler: BaseSampler) -> Iterator[random.Random | np.random.RandomState | np.random.Generator]:
    waiting: list[Any] = [sampler]
    seen: set[int] = set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen or isinstance(part, type):
            continue
        seen.add(id(part))
        if isinstance(part, (random.Random, np.random.RandomState, np.random.Generator)):
            yield part
        elif isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, (list, tuple, set)):
            waiting += part
        elif type(part).__module__ != "builtins":
            waiting += getattr(part, "__dict__", {}).values()


def fails_on_curves(sampler: BaseSampler | None) -> bool:
    """Whether the sampler raises in a study of several objectives once a trial is pruned by its curve."""
    base = internals.unwrapped(sampler) if sampler is not None else None
    return isinstance(base, TPESampler) and not isinstance(base, BoundedTPE)


def check_chosen(space: SpaceFile) -> None:
    """Raise SearchError if ``--set``, a GridSampler or a PartialFixedSampler has names or values of another space.

    Optuna fails at the first name that is missing, takes no note of one too many, and takes a value outside its range.
    """
    check_fixed(space)
    if space.sampler is None:
        return
    if space.further and isinstance(space.pruner, ASHA) and fails_on_curves(space.sampler):
        raise SearchError(
            f"{place_of(space.path, 'sampler')}: Optuna's TPESampler cannot read the curves of trials that were pruned "
            "by several objectives: leave the sampler out, which takes a TPE that can, or choose NSGAIISampler"
        )
    place, fixed = place_of(space.path, "sampler"), internals.fixed_in(space.sampler)
    base = internals.unwrapped(space.sampler)
    if isinstance(base, GridSampler):
        _check_grid(place, space, fixed | dict(space.fixed), *internals.grid_of(base))
    elif fixed:
        _check_values(place, space, fixed)


def check_constraints(space: SpaceFile, study: Study) -> None:
    """Raise SearchError if the study has completed trials of which the sampler's constraints are not known."""
    lacks = internals.lack_constraints(space.sampler, study)
    if lacks:
        more = f" and {plural(len(lacks) - 1, 'other')}" if len(lacks) > 1 else ""
        raise SearchError(
            f"{place_of(space.path, 'sampler')}: trial {lacks[0]}{more} of the study {study.study_name!r} completed "
            "without the sampler's constraints, so that it is not known whether they are kept: begin a new study with "
            f"its best, {option('name', 'NEW')} {option('source', study.study_name)}"
        )


def _check_grid(
    place: str, space: SpaceFile, fixed: dict[str, Any], names: list[str], points: list[tuple[Any, ...]]
) -> None:
    for name in names:
        if name in fixed:
            raise SearchError(
                f"{place}: {name!r} is fixed, and its values in the grid have no effect; leave it out of the grid"
            )
    asked, whole = set[str](), len(points) <= MOST
    for values in islice(points, MOST):
        replay = Replay(fixed | dict(zip(names, values, strict=True)))
        try:
            space.suggest(replay)
        except Unfit as error:
            lacks = f"the grid has no values for {error.name!r}, which the space asks for"
            raise SearchError(f"{place}: {error.outside or lacks + nearest(error.name, set(names))}") from None
        except TrialPruned:
            pass
        except Exception:  # the user's space(trial), of which the trial will say it
            whole = False
        asked |= {*replay.distributions}
    for name in sorted({*names} - asked if whole else ()):
        raise SearchError(f"{place}: the grid's {name!r} is nothing that varies in the space{nearest(name, asked)}")


def _check_values(place: str, space: SpaceFile, fixed: dict[str, Any]) -> None:
    ranges: dict[str, list[BaseDistribution]] = {}
    if isinstance(space.space, SearchSpace):
        for name, setting in space.space.dimensions():
            labels = isinstance(setting, Choice)
            ranges[name] = [CategoricalDistribution(list(setting.options)) if labels else setting]
    else:
        for point in drawn(space, DRAWN):
            for name, distribution in point.distributions.items():
                ranges.setdefault(name, []).append(distribution)
    for name, value in fixed.items():
        if name not in ranges:
            raise SearchError(
                f"{place}: the fixed {name!r} is nothing that varies in the space{nearest(name, {*ranges})}"
            )
        why = [outside({name: value}, {name: distribution}) for distribution in ranges[name]]
        if all(why):
            raise SearchError(f"{place}: {why[0]}")
