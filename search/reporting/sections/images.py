"""Which images and weights the study is of: how many, what was left out, and what is doubtful."""

from __future__ import annotations

from search.analysis.view import StudyView
from search.reporting.columns import escape_cell
from search.reporting.section import Section


def section(view: StudyView) -> Section | None:
    stored = [about for about in view.record.data.values() if isinstance(about, dict)]  # others write there, too
    lines = [str(line) for about in stored for line in about.get("said", ())]
    lines += [f"weights of {name}: {digest}, by their content" for name, digest in view.record.weights.items()]
    return Section("\n".join(f"- {escape_cell(line)}" for line in lines), title="Images") if lines else None
