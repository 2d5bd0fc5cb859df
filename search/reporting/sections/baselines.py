"""What the hand-tuned rows of the table are."""

from __future__ import annotations

from search.analysis.view import StudyView
from search.reporting.section import Section


def section(view: StudyView) -> Section | None:
    text = "Rows marked *hand-tuned* are not trials of this study. Their numbers are those of the baselines file."
    return Section(text) if view.baselines else None
