"""Of several objectives: which trial is the best under each limit."""

from __future__ import annotations

from typing import Any

from optuna.study import StudyDirection

from search.analysis import front
from search.analysis.front import Step
from search.analysis.view import StudyView
from search.format import format_number
from search.reporting.columns import escape_cell
from search.reporting.section import Section

ROWS = 20
"""At most so many rows of a table, evenly spaced."""


def section(view: StudyView) -> Section | None:
    """A table for each further objective, and what is best within the limits of the last run."""
    if not view.several:
        return None
    tables = {place: front.under(view, place) for place in range(1, len(view.metrics))}
    parts = [_within(view), *(_table(view, place, steps) for place, steps in tables.items())]
    grown = front.growth(view)
    data: dict[str, Any] = {
        "front": [{"trial": trial.number, "values": trial.values} for trial in view.ranked],
        "best_under": {
            view.metrics[place]: [
                {"limit": step.limit, "best": step.best, "trial": step.trial.number} for step in steps
            ]
            for place, steps in tables.items()
        },
        "hypervolume": grown.shares[-1] if grown else None,
    }
    text = "\n\n".join(part for part in parts if part)
    return Section(text, "The best under each limit", data=data) if text else Section(data=data)


def _within(view: StudyView) -> str:
    limits = {name: most for name, most in view.record.limits.items() if name in view.metrics[1:]}
    best = front.within(view, limits) if limits else None
    if best is None:
        return ""
    words = " and ".join(f"{escape_cell(name)} = {format_number(most)}" for name, most in limits.items())
    values = ", ".join(
        f"{escape_cell(name)} {format_number(value)}" for name, value in zip(view.metrics, best.values, strict=True)
    )
    return f"Within the limits of the last run, {words}, trial {best.number} is the best: {values}."


def _table(view: StudyView, place: int, steps: list[Step]) -> str:
    if not steps:
        return ""
    name, first = escape_cell(view.metrics[place]), escape_cell(view.metrics[0])
    word = "least" if view.study.directions[place] == StudyDirection.MAXIMIZE else "most"
    few = [steps[row * (len(steps) - 1) // (ROWS - 1)] for row in range(ROWS)] if len(steps) > ROWS else steps
    head = [f"| At {word} {name} | Best {first} | Trial |", "|--:|--:|--:|"]
    rows = [f"| {format_number(step.limit)} | {format_number(step.best)} | {step.trial.number} |" for step in few]
    left = f"\n\nOf {len(steps)} steps {ROWS} are shown, evenly spaced." if len(steps) > ROWS else ""
    return "\n".join([*head, *rows]) + left
