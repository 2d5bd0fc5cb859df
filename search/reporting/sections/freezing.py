"""What freezing cost or gave: medians by set of frozen layers, among trials that began with weights."""

from __future__ import annotations

from search.analysis.freezing import by_frozen_layers
from search.analysis.view import StudyView
from search.format import format_number, plural
from search.reporting.columns import escape_cell
from search.reporting.section import Section


def section(view: StudyView) -> Section | None:
    found = by_frozen_layers(view)
    if found is None:
        return None
    medians, p = found
    listed = ", ".join(
        f"{escape_cell(name)} {format_number(value)} ({plural(count, 'trial')})"
        for name, (value, count) in medians.items()
    )
    verdict = "The medians differ" if p <= 0.05 else "The medians are statistically tied"
    return Section(
        f"Median {escape_cell(view.metric)} by frozen layers: {listed}. {verdict} (permutation test, p = {p:.2g}); "
        "other settings differ, too.",
        comment=True,
    )
