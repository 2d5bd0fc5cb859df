"""How often the pruner would have stopped one of the leaders, by the trials that ran on all the same."""

from __future__ import annotations

from search.analysis.statistics import wilson
from search.analysis.view import StudyView
from search.format import format_number
from search.reporting.section import Section
from search.study.attributes import TrialRecord, value_of


def section(view: StudyView) -> Section | None:
    """The leaders are the best tenth of what the pruner let finish, at least one."""
    stopped = {trial.number: epoch for trial in view.done if (epoch := TrialRecord(trial).audited) is not None}
    audited = [trial for trial in view.done if trial.number in stopped]
    kept = [trial for trial in view.done if trial.number not in stopped]
    if not audited or not kept:
        return None
    leaders = kept[: -(-len(kept) // 10)]
    level = value_of(leaders[-1]) or 0.0
    wrong = sum(view.sign * (value_of(trial) or 0.0) >= view.sign * level for trial in audited)
    low, high = wilson(wrong, len(audited))
    which = "trial that it let finish" if len(leaders) == 1 else f"{len(leaders)} of {len(kept)} that it let finish"
    more = sum(len(trial.intermediate_values) - stopped[trial.number] for trial in audited)
    best = audited[0]
    return Section(
        f"Audit of the pruner: {len(audited)} trials that it would have stopped ran to their end, {more} epochs more. "
        f"Of these, {wrong} reached the best {which} ({view.metric} {format_number(level)}): it was wrong in "
        f"{wrong / len(audited):.0%} (95% interval {low:.0%} to {high:.0%}). The best of them, trial {best.number}, "
        f"would have been stopped at epoch {stopped[best.number]} and has {format_number(value_of(best))}; the "
        f"best that it let finish, trial {kept[0].number}, has {format_number(value_of(kept[0]))}.",
        comment=True,
    )
