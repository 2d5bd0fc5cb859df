"""What runs before the sampler's points: the best of an earlier study, then the hand-tuned rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from optuna.study import Study
from optuna.trial import TrialState

from search.errors import SearchError, option
from search.space.file import SpaceFile
from search.space.space import SearchSpace
from search.study.attributes import StudyRecord, TrialRecord, feasible, no_best, ranked
from search.study.replay import Replay, Unfit, known_values
from search.study.study import load_study

BEST = 10
"""At most so many points of an earlier study go first: as many as Optuna's TPE draws at random by default."""


@dataclass
class Points:
    """The best points of an earlier study that a new space has, the best first, and why the others are left out."""

    source: str
    found: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    """Trial number in the earlier study, and the parameters in the new one."""
    skipped: Counter[str] = field(default_factory=Counter)

    def reasons(self) -> str:
        return ", ".join(f"{count} for {reason}" for reason, count in self.skipped.most_common())


def best_points(url: str, source: str, name: str, space: SpaceFile) -> Points:
    """The best completed trials of the study `source` that are points of `space`, at most BEST different ones.

    A point is the part of a trial's settings that `space` searches; fixed settings, such as `epochs`, may differ.
    Creates nothing. Raises SearchError if there is no such study, if it is `name` itself, if nothing in it
    completed, or if none of it fits.
    """
    if source == name:
        raise SearchError(
            f"{option('source', source)}: that is this study itself; give the new one a {option('name')} of its own"
        )
    study = load_study(url, source)
    done = [trial for trial in ranked(study) if feasible(trial)]
    completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not completed:
        raise SearchError(f"{option('source', source)}: no trial of it completed, so that it has no best to start from")
    if not done:
        raise SearchError(f"{option('source', source)}: {no_best(study)} to start from")
    points = Points(source)
    if broken := sum(not feasible(trial) for trial in completed):
        points.skipped["breaking a constraint"] = broken
    for trial in done:
        replay = Replay(known_values(space, trial))
        try:
            space.suggest(replay)
        except Exception as error:  # the user's space(trial) may raise anything
            fits = isinstance(error, Unfit)
            points.skipped[str(error) if fits else f"space(trial), which raised {type(error).__name__}"] += 1
            continue
        if replay.params not in [params for _, params in points.found]:
            points.found.append((trial.number, replay.params))
        if len(points.found) == BEST:
            break
    if not points.found:
        raise SearchError(
            f"{option('source', source)}: no completed trial of its {len(completed)} is a point of this space: "
            f"left out are {points.reasons()}"
        )
    return points


def queue_points(study: Study, points: Points) -> str:
    """Queue the points that the study does not have yet, each once; returns one line about all of them."""
    before = len(study.get_trials(deepcopy=False))
    for number, params in points.found:
        record = TrialRecord()
        record.source = f"{points.source}, trial {number}"
        study.enqueue_trial(params, user_attrs=record.stored, skip_if_exists=True)
    queued = len(study.get_trials(deepcopy=False)) - before
    seen = len(points.found) - queued
    parts = [f"the best of {points.source} that go first: {queued}"]
    parts += [f"already in this study: {seen}"] if seen else []
    parts += [f"left out: {points.reasons()}"] if points.skipped else []
    return "; ".join(parts)


def queue_baselines(study: Study, space: SpaceFile) -> None:
    """Queue the hand-tuned rows that are points of the space, when the study is new; keep all for the table."""
    if StudyRecord(study).baselines is not None:
        return
    for baseline in space.baselines:
        params = space.space.params(baseline.settings) if isinstance(space.space, SearchSpace) else None
        if params is not None:
            record = TrialRecord()
            record.baseline = baseline.name
            study.enqueue_trial(params, user_attrs=record.stored, skip_if_exists=True)
    StudyRecord(study).baselines = space.baselines
