"""What earlier studies gave: the points that they promised, against all others."""

from __future__ import annotations

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
    ended = [trial for trial in learnt if trial.state.is_finished()]
    done = [trial for trial in view.done if TrialRecord(trial).learnt]
    pruned = sum(trial.state == TrialState.PRUNED for trial in ended)
    ways = f"{len(done)} completed and {pruned} {'was' if pruned == 1 else 'were'} pruned"
    points = plural(len(learnt), "point")
    said = [f"Learnt from earlier studies: {', '.join(map(escape_cell, names))}. They promised {points}: {ways}."]
    others = [trial for trial in view.done if not TrialRecord(trial).learnt]
    if done:
        said.append(_against(view, done[0], others[0] if others else None))
    if freed:
        said.append(
            f"The first trials contradicted some of them: {plural(freed, 'point')} went to the sampler instead."
        )
    return Section(" ".join(said), comment=True)


def _against(view: StudyView, best: FrozenTrial, other: FrozenTrial | None) -> str:
    text = f"The best of them, trial {best.number}, has {escape_cell(view.metric)} {format_number(value_of(best))}"
    if other is None:
        return f"{text}; no other trial completed."
    return f"{text}; the best of all others, trial {other.number}, has {format_number(value_of(other))}."
