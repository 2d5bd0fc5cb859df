"""Which images the study is of: how many, what was left out, and what is doubtful."""

from __future__ import annotations

from search.analysis.view import StudyView
from search.reporting.columns import escape_cell
from search.reporting.section import Section


def section(view: StudyView) -> Section | None:
    lines = [str(line) for stored in view.record.data.values() for line in stored.get("said", ())]
    return Section("\n".join(f"- {escape_cell(line)}" for line in lines), title="Images") if lines else None
