"""How many trials ran, what they took, and why the last run ended early."""

from __future__ import annotations

from optuna.trial import TrialState

from search.analysis.view import StudyView
from search.format import duration, format_number
from search.reporting.section import Section


def section(view: StudyView) -> Section:
    counts = {state: sum(trial.state == state for trial in view.trials) for state in TrialState}
    waiting, cost = counts[TrialState.WAITING] + counts[TrialState.RUNNING], view.cost
    text = (
        f"{len(view.trials) - waiting} trials ran: {counts[TrialState.COMPLETE]} completed, "
        f"{counts[TrialState.PRUNED]} were pruned, {counts[TrialState.FAIL]} failed"
    )
    text += f"; {waiting} are under way or wait in the queue" if waiting else ""
    text += f". Machine time: {duration(cost.spent)} spent, {duration(cost.saved)} saved by pruning."
    if cost.gpu_hours:
        text += f" GPU-hours: {format_number(cost.gpu_hours, 3)} spent, {format_number(cost.gpu_hours_saved, 3)} saved."
    ended = view.record.ended
    text += f" The last run ended early: {ended}." if ended else ""
    data = {
        "trials": {state.name.lower(): count for state, count in counts.items()},
        "machine_seconds": cost.spent,
        "saved_seconds": cost.saved,
        "gpu_hours": cost.gpu_hours,
        "saved_gpu_hours": cost.gpu_hours_saved,
    }
    return Section(text, data=data)
