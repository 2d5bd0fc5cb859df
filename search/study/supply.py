"""What there is to train: the queue and the sampler's points, and how their end is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from optuna.samplers import BruteForceSampler, GridSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from search.study.ending.stopping import Reached
from search.study.storage import internals

NO_MORE = Reached("sampler", "the sampler has no more points", at_once=False)
"""Why a run ends whose sampler has a last point."""


def queued(study: Study) -> bool:
    """Whether a trial waits: an interrupted one, a hand-tuned row, a point of another study."""
    return bool(study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))


def has_points(study: Study) -> bool:
    """Whether the study's sampler has a point that no trial has taken. True of a sampler that has no last point.

    Optuna's own samplers of so many points begin again while the last of them run.
    """
    sampler = internals.unwrapped(study.sampler)
    if isinstance(sampler, GridSampler):
        return not internals.grid_is_taken(sampler, study.get_trials(deepcopy=False))
    if isinstance(sampler, BruteForceSampler):
        return not internals.tree_is_taken(sampler, study.get_trials(deepcopy=False))
    return True


@contextmanager
def stoppable(study: Study) -> Iterator[list[bool]]:
    """Take in Study.stop(), which Optuna refuses outside of its own loop: the list is not empty once it was called."""
    asked: list[bool] = []
    setattr(study, "stop", lambda: asked.append(True))  # noqa: B010 - a method is replaced
    try:
        yield asked
    finally:
        delattr(study, "stop")


def tell(study: Study, trial: Trial, values: list[float] | None, state: TrialState) -> FrozenTrial:
    """Study.tell; a trial that has ended by now stays as it is."""
    try:
        return study.tell(trial, values, state=state, skip_if_finished=True)
    except KeyError as error:
        if error.args != ("grid_id",):
            raise
        # GridSampler looks for the place in its grid of a trial that was queued. The trial is told all the same.
        return study.get_trials()[trial.number]
