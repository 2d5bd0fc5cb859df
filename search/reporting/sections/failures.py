"""Which trials failed, and why."""

from __future__ import annotations

from optuna.trial import FrozenTrial, TrialState

from search.analysis.view import StudyView
from search.reporting.section import Section
from search.study.attributes import BY_HAND, TrialRecord

COUNT = 20
"""At most so many are listed."""


def section(view: StudyView) -> Section | None:
    failed = [trial for trial in view.trials if trial.state == TrialState.FAIL]
    lines = [f"- trial {trial.number}: {_why(trial)}" for trial in failed[:COUNT]]
    if len(failed) > COUNT:
        lines.append(f"- and {len(failed) - COUNT} more")
    return Section("\n".join(["Failed trials:", "", *lines])) if failed else None


def _why(trial: FrozenTrial) -> str:
    """The error that the driver recorded. A trial that began and has none was ended by hand."""
    record = TrialRecord(trial)
    return record.error or (BY_HAND if record.config is not None else "no reason recorded")
