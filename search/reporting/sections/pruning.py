"""What pruning saved and may have cost, and how often an audit shows the pruner wrong."""

from __future__ import annotations

from search.analysis.pruning import audit, pruning
from search.analysis.view import StudyView
from search.format import format_number, plural
from search.reporting.columns import escape_cell
from search.reporting.section import Section
from search.study.attributes import TrialRecord, value_of


def section(view: StudyView) -> Section | None:
    found = pruning(view)
    if found is None or view.best is None:
        return None
    one = found.pruned == 1
    stopped, who = ("it was", "it") if one else ("they were", "they")
    said = [
        f"Pruning: {plural(found.pruned, 'pruned trial')} ran {plural(found.ran, 'epoch')}; to "
        f"{'its' if one else 'their'} end {who} would have run {found.planned}."
    ]
    if found.compared:
        ahead = f"{found.ahead} of {found.compared} {'was' if found.compared == 1 else 'were'} ahead"
        said.append(f"When {stopped} stopped, {ahead} of the winner (trial {view.best.number}) at the same epoch.")
    if found.ahead:
        said.append(f"{'This is' if found.ahead == 1 else 'These are'} what pruning may have cost.")
    return Section(" ".join(said), comment=True)


def of_audit(view: StudyView) -> Section | None:
    found = audit(view)
    if found is None:
        return None
    best, finished, count, (low, high) = found.audited[0], found.kept[0], len(found.audited), found.interval
    leaders = f"{found.leaders} of {len(found.kept)} that it let finish"
    which = "trial that it let finish" if found.leaders == 1 else leaders
    level, their = f"{escape_cell(view.metric)} {format_number(found.level)}", "its" if count == 1 else "their"
    return Section(
        f"Audit of the pruner: {plural(count, 'trial')} that it would have stopped ran to {their} end, "
        f"{plural(found.more, 'epoch')} more. "
        f"Of these, {found.wrong} reached the best {which} ({level}): it was wrong in "
        f"{found.wrong / count:.0%} (95% interval {low:.0%} to {high:.0%}). The best of them, trial {best.number}, "
        f"would have been stopped at epoch {TrialRecord(best).audited} and has {format_number(value_of(best))}; the "
        f"best that it let finish, trial {finished.number}, has {format_number(value_of(finished))}.",
        comment=True,
    )
