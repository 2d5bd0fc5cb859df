"""What pruning saved and may have cost, and how often an audit shows the pruner wrong."""

from __future__ import annotations

from search.analysis.pruning import audit, pruning
from search.analysis.view import StudyView
from search.format import format_number
from search.reporting.columns import escape_cell
from search.reporting.section import Section
from search.study.attributes import TrialRecord, value_of


def section(view: StudyView) -> Section | None:
    found = pruning(view)
    if found is None or view.best is None:
        return None
    return Section(
        f"Pruning: {found.pruned} pruned trials ran {found.ran} epochs; at the winner's "
        f"{len(view.best.intermediate_values)} each they would have run {found.planned}. When they were stopped, "
        f"{found.ahead} of {found.compared} were ahead of the winner (trial {view.best.number}) at the same epoch. "
        "These are what pruning may have cost.",
        comment=True,
    )


def of_audit(view: StudyView) -> Section | None:
    found = audit(view)
    if found is None:
        return None
    best, finished, count, (low, high) = found.audited[0], found.kept[0], len(found.audited), found.interval
    leaders = f"{found.leaders} of {len(found.kept)} that it let finish"
    which = "trial that it let finish" if found.leaders == 1 else leaders
    level = f"{escape_cell(view.metric)} {format_number(found.level)}"
    return Section(
        f"Audit of the pruner: {count} trials that it would have stopped ran to their end, {found.more} epochs more. "
        f"Of these, {found.wrong} reached the best {which} ({level}): it was wrong in "
        f"{found.wrong / count:.0%} (95% interval {low:.0%} to {high:.0%}). The best of them, trial {best.number}, "
        f"would have been stopped at epoch {TrialRecord(best).audited} and has {format_number(value_of(best))}; the "
        f"best that it let finish, trial {finished.number}, has {format_number(value_of(finished))}.",
        comment=True,
    )
