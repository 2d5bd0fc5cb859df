"""What a study begins with: another study's best, hand-tuned rows, and what the other studies of its storage know."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from optuna.study import Study
from optuna.trial import TrialState
from rich.console import Console

from search.engine.callbacks import Callback
from search.engine.trial import ActiveTrial
from search.errors import switch, visible
from search.format import plural
from search.space.direction import verb
from search.space.file import SpaceFile
from search.study.attributes import StudyRecord
from search.study.sampler import STARTUP, BoundedTPE
from search.study.start import queue
from search.study.start.doubts import Doubts
from search.study.start.warm import UNREMARKABLE, Knowledge, is_learnt, knowledge, learnt, queue_learnt

Say = Callable[[str], None]


def introduce(
    study: Study, space: SpaceFile, points: queue.Points | None, notes: Sequence[str], console: Console
) -> None:
    """Say what is searched for, and queue what runs before the sampler's own: another study's best, hand-tuned rows."""
    for line in (", ".join(f"{verb(way)} {goal}" for goal, way in space.goals.items()), *notes):
        console.out(line)
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    back = sum(bool(trial.params) for trial in waiting)  # the others were queued and never asked
    if back:
        console.out(f"interrupted trials that go on first: {back}")
    if points is not None:  # before the hand-tuned rows, whose results are known
        console.out(queue.queue_points(study, points))
    queue.queue_baselines(study, space)


def begin(study: Study, space: SpaceFile, cold: bool, out: Say, say: Say) -> list[Callback]:
    """Queue the points that earlier studies promise, if the study is new; who watches whether they are right.

    A study that goes on keeps what it has. A sampler of the space file's own chooses alone, and of several objectives
    no study has a best. `out`: called with a line before the trials; `say`: with one while they run.
    """
    record = StudyRecord(study)
    found: Knowledge | None = None
    if cold and record.learnt and (left := _waiting(study)):
        points = plural(left, "point")
        out(f"{switch('cold')} is for a new study: this one has learnt already, and {points} of that go on")
    if record.learnt is None and _is_new(study):
        found = None if cold or space.sampler is not None else _learn(study, space, out)
        record.learnt = found.names if found else []
    if space.sampler is not None or not (count := learnt(study)):
        return []
    study.sampler = space.keep_fixed(BoundedTPE(n_startup_trials=STARTUP + count))  # the random start stays whole
    if not _waiting(study):
        return []
    return [_Watch(Doubts(study, found or knowledge(study, space).of(record.learnt or ()), space.epochs), say)]


def _waiting(study: Study) -> int:
    """How many of the points that earlier studies promise are still to be tried."""
    return sum(map(is_learnt, study.get_trials(deepcopy=False, states=(TrialState.WAITING,))))


def _is_new(study: Study) -> bool:
    trials = study.get_trials(deepcopy=False)
    return all(trial.state == TrialState.WAITING and not trial.params for trial in trials)


def _learn(study: Study, space: SpaceFile, out: Say) -> Knowledge | None:
    found = knowledge(study, space)
    queued = queue_learnt(study, found)
    if queued:
        out(line(found, queued))
    elif {*found.left_out} - UNREMARKABLE:
        out(f"learns from no earlier study{_left(found)}")
    return found if queued else None


def line(found: Knowledge, queued: int) -> str:
    """One line about what a study learns from, and what was left out."""
    names = [visible(name) + (" (the same data)" if name in found.same else "") for name in found.names]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    points = f"{plural(queued, 'point')} {'goes' if queued == 1 else 'go'}"
    return (
        f"learns from {len(names)} earlier {'study' if len(names) == 1 else 'studies'}, {shown}: {points} first, "
        f"each before a random one; {switch('cold')} begins without{_left(found)}"
    )


def _left(found: Knowledge) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in found.left_out.most_common())
    return f"; left out: {reasons}" if reasons else ""


class _Watch:
    """Drops an earlier study once the first trials contradict it, and says so."""

    def __init__(self, doubts: Doubts, say: Say) -> None:
        self._doubts, self._say = doubts, say

    def on_epoch(self, trial: ActiveTrial) -> None:
        if trial.last.step == self._doubts.rung:
            for name in self._doubts.look():
                self._say(f"the first trials contradict {visible(name)}: what it alone promised is not tried")

    def on_end(self, trial: ActiveTrial, state: TrialState, reason: str) -> None:
        return
