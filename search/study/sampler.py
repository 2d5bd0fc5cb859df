"""The default sampler, Optuna's TPE over at most a thousand trials; and seeds in a study that goes on."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.study.storage.internals import trials_of

BEST = 100
"""TPE's good group has at most 25."""
LATEST = 900


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
        return bounded(trials_of(self._study, *args, **kwargs), self._study.directions)


def bounded(trials: list[FrozenTrial], directions: list[StudyDirection]) -> list[FrozenTrial]:
    """The best BEST completed and the latest LATEST of the trials, in their order; all of a study of several goals."""
    if len(trials) <= BEST + LATEST or len(directions) > 1:
        return trials
    older, latest = trials[:-LATEST], trials[-LATEST:]
    sign = 1 if directions[0] == StudyDirection.MAXIMIZE else -1
    done = [trial for trial in older if trial.state == TrialState.COMPLETE and trial.values]
    best = heapq.nlargest(BEST, done, key=lambda trial: sign * (trial.values or [0.0])[0])
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
