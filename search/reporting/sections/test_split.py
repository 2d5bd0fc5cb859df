"""How often the study was evaluated on the test split."""

from __future__ import annotations

from search.analysis.view import StudyView
from search.reporting.section import Section


def section(view: StudyView) -> Section:
    count = view.evaluations
    trained_here = view.record.own_train is False
    times = {0: "not evaluated", 1: "evaluated once"}.get(count, f"evaluated {count} times")
    text = f"The study was {times} on the test split." if count or trained_here else ""
    return Section(text, data={"looks_at_test": count})
