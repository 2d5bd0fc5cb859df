"""What pruning saved, and how many of the pruned trials were ahead of the winner when they were stopped."""

from __future__ import annotations

from search.analysis.view import StudyView
from search.reporting.section import Section


def section(view: StudyView) -> Section | None:
    pruned = [trial for trial in view.pruned if trial.intermediate_values]
    whole = view.best.intermediate_values if view.best else {}
    if not pruned or not whole or view.best is None:
        return None
    ran, planned = sum(len(trial.intermediate_values) for trial in pruned), len(pruned) * len(whole)
    last = [(max(trial.intermediate_values), trial) for trial in pruned]
    compared = [(trial.intermediate_values[step], whole[step]) for step, trial in last if step in whole]
    ahead = sum(view.sign * value > view.sign * winner for value, winner in compared)
    return Section(
        f"Pruning: {len(pruned)} pruned trials ran {ran} epochs; at the winner's {len(whole)} each they would have run "
        f"{planned}. When they were stopped, {ahead} of {len(compared)} were ahead of the winner (trial "
        f"{view.best.number}) at the same epoch. These are what pruning may have cost.",
        comment=True,
    )
