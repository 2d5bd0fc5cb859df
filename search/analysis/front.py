"""The front of a study of several objectives: which trial is best under each limit, and how the front grew."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from search.analysis.view import StudyView
from search.study.attributes import loss_signs
from search.study.storage import internals

_LARGEST = 1e100
"""A value beyond it spans no volume that a number can hold."""


@dataclass(frozen=True)
class Step:
    """From this limit on, `trial` is the best."""

    limit: float
    """In the objective's own unit: the most of it, or, where more is better, the least."""
    best: float
    """The trial's value in the first objective."""
    trial: FrozenTrial


def done(view: StudyView) -> list[FrozenTrial]:
    """The completed trials that keep the sampler's constraints and whose values are numbers, by number."""
    return [trial for trial in view.completed if all(abs(value) < _LARGEST for value in trial.values)]


def losses(view: StudyView, trials: list[FrozenTrial]) -> NDArray[np.float64]:
    """(T, M): the values of the trials, the lower the better."""
    signs = loss_signs(view.study)
    return np.array([trial.values for trial in trials], dtype=np.float64).reshape(len(trials), len(signs)) * signs


def under(view: StudyView, objective: int) -> list[Step]:
    """The best in the first objective under each limit of the further `objective`, the tightest limit first.

    Every trial of the front of these two objectives is a step; of equals the first trial.
    """
    trials = done(view)
    found = losses(view, trials)
    steps: list[Step] = []
    best = np.inf
    for row in np.lexsort((found[:, 0], found[:, objective])) if trials else ():
        if found[row, 0] < best:
            best = found[row, 0]
            steps.append(Step(trials[row].values[objective], trials[row].values[0], trials[row]))
    return steps


def within(view: StudyView, limits: dict[str, float]) -> FrozenTrial | None:
    """The best in the first objective of the completed trials that keep all `limits` of the further objectives."""
    places = [(view.metrics.index(name), most) for name, most in limits.items() if name in view.metrics[1:]]
    keep = [trial for trial in done(view) if all(trial.values[place] <= most for place, most in places)]
    if not keep or not places:
        return None
    return keep[int(np.argmin(losses(view, keep)[:, 0]))]


@dataclass(frozen=True)
class Growth:
    """The hypervolume of the front after each completed trial, in the order in which they ended.

    A share of the box from the worst to the best value of the whole study in each objective (Zitzler and Thiele 1999).
    """

    ended: list[FrozenTrial]
    shares: list[float]


def growth(view: StudyView) -> Growth | None:
    """None of one objective, or where the trials span no volume."""
    ended = sorted(done(view), key=lambda trial: (trial.datetime_complete or datetime.min, trial.number))
    if not view.several or len(ended) < 2:
        return None
    found = losses(view, ended)
    worst, best = found.max(axis=0), found.min(axis=0)
    if not (worst > best).all():
        return None
    scaled, reference = (found - best) / (worst - best), np.ones(found.shape[1])
    shares: list[float] = []
    front = np.empty((0, found.shape[1]))
    for point in scaled:
        beaten = bool((front <= point).all(axis=1).any())
        if not beaten:
            front = np.vstack([front[~(point <= front).all(axis=1)], point])
        shares.append(shares[-1] if beaten else internals.hypervolume(front, reference))
    return Growth(ended, shares)
