"""What earlier studies gave: the points that they promised, against all others."""

from __future__ import annotations

from collections import Counter

from optuna.trial import FrozenTrial, TrialState

from search.analysis.view import StudyView
from search.format import format_number, plural
from search.reporting.columns import escape_cell
from search.reporting.section import Section
from search.study.attributes import TrialRecord, value_of


def section(view: StudyView) -> Section | None:
    names = [name for name in view.record.learnt or () if isinstance(name, str)]
    chosen = [trial for trial in view.trials if TrialRecord(trial).learnt is not None]
    if not names or not chosen:
        return None
    learnt = [trial for trial in chosen if TrialRecord(trial).learnt]
    freed = len(chosen) - len(learnt)
    done = [trial for trial in view.done if TrialRecord(trial).learnt]
    of, points = ", ".join(map(escape_cell, names)), plural(len(chosen), "point")
    ways = f": {_ways(learnt)}" if learnt else ""
    said = [f"Learnt from earlier studies: {of}. They promised {points}{ways}."]
    others = [trial for trial in view.done if not TrialRecord(trial).learnt]
    if done:
        said.append(_against(view, done[0], others[0] if others else None))
    if freed:
        said.append(
            f"The first trials contradicted some of them: {plural(freed, 'point')} went to the sampler instead."
        )
    return Section(" ".join(said), comment=True)


def _ways(learnt: list[FrozenTrial]) -> str:
    """How the trials of the points ended, that still wait or run included."""
    named = {TrialState.COMPLETE: "completed", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
    waiting = "not yet ended"
    counts = Counter(named.get(trial.state, waiting) for trial in learnt)
    return ", ".join(f"{counts[way]} {way}" for way in (*named.values(), waiting) if counts[way])


def _against(view: StudyView, best: FrozenTrial, other: FrozenTrial | None) -> str:
    text = f"The best of them, trial {best.number}, has {escape_cell(view.metric)} {format_number(value_of(best))}"
    if other is None:
        return f"{text}; no other trial completed."
    return f"{text}; the best of all others, trial {other.number}, has {format_number(value_of(other))}."
