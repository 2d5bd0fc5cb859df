"""What more trials would gain, so that a user can stop."""

from __future__ import annotations

import math
from dataclasses import asdict

from search.analysis.view import StudyView
from search.format import format_number, plural
from search.reporting.columns import escape_cell
from search.reporting.section import Section
from search.study.attributes import value_of
from search.study.ending.prospect import FEWEST, error_of, prospect, room, worth


def section(view: StudyView) -> Section | None:
    """None with few completed trials."""
    values = [view.sign * (value_of(trial) or 0.0) for trial in view.done]
    if view.best is None or len(values) < FEWEST:
        return None
    most = room(values, view.sign > 0, view.metric)
    found = prospect(values, len(values) + len(view.pruned), most=most)
    if not math.isfinite(found.high):
        return None
    error = error_of(view.best, view.metric)
    least = worth(values, values[0], error)
    mean, low, high = map(format_number, (found.mean, found.low, found.high))
    text = f"{plural(found.more, 'more trial')} like these gain {mean} in {escape_cell(view.metric)} "
    text += f"(80% interval {low} to {high})."
    if found.high <= least:
        than = "half the best's standard error" if error is not None else "a tenth of the best above the median"
        text += f" That is less than {than} ({format_number(least)}): more of them are hardly worth it."
    return Section(text, comment=True, data={"prospect": asdict(found)})
