"""Settings whose best trials all lie at one end of their range, and how far to widen it."""

from __future__ import annotations

from search.analysis.importance import LEADERS, Edge, edges
from search.analysis.view import StudyView
from search.format import format_number
from search.reporting.section import Section


def section(view: StudyView) -> Section | None:
    found = edges(view.done)
    return Section("\n\n".join(_said(edge, len(view.done)) for edge in found), comment=True) if found else None


def _said(edge: Edge, count: int) -> str:
    values = ", ".join(map(format_number, edge.values))
    scale = " on its log scale" if edge.log else ""
    to = ", if it can be." if edge.wider is None else f", to {format_number(edge.wider)} for example."
    return (
        f"The best {LEADERS} of {count} trials have `{edge.name}` within 5%{scale} of its "
        f"{'upper' if edge.upper else 'lower'} end, {format_number(edge.end)} ({values}): widen the range there{to}"
    )
