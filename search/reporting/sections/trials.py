"""How many trials ran, what they took, why the last run ended early, what failed, and what the test split was asked."""

from __future__ import annotations

from optuna.trial import FrozenTrial, TrialState

from search.analysis.view import StudyView
from search.format import duration, format_number, plural
from search.reporting.columns import escape_cell
from search.reporting.section import Section
from search.study.attributes import BY_HAND, TrialRecord, feasible
from search.study.code import letters, ranges, versions

COUNT = 20
"""At most so many trials are listed."""


def section(view: StudyView) -> Section:
    counts = {state: sum(trial.state == state for trial in view.trials) for state in TrialState}
    waiting, cost = counts[TrialState.WAITING] + counts[TrialState.RUNNING], view.cost
    pruned = counts[TrialState.PRUNED]
    text = (
        f"{plural(len(view.trials) - waiting, 'trial')} ran: {counts[TrialState.COMPLETE]} completed, "
        f"{pruned} {'was' if pruned == 1 else 'were'} pruned{_refused(view)}, {counts[TrialState.FAIL]} failed"
    )
    broken = sum(trial.state == TrialState.COMPLETE and not feasible(trial) for trial in view.trials)
    one = "breaks" if broken == 1 else "break"
    text += f"; {broken} of the completed {one} a constraint of the sampler (infeasible)" if broken else ""
    are = "is under way or waits" if waiting == 1 else "are under way or wait"
    text += f"; {waiting} {are} in the queue" if waiting else ""
    text += f". Machine time: {duration(cost.spent)} spent, {duration(cost.saved)} saved by pruning."
    if cost.gpu_hours:
        text += f" GPU-hours: {format_number(cost.gpu_hours, 3)} spent, {format_number(cost.gpu_hours_saved, 3)} saved."
    ended = view.record.ended
    text += f" The last run ended early: {escape_cell(ended)}." if ended else ""
    data = {
        "trials": {state.name.lower(): count for state, count in counts.items()},
        "machine_seconds": cost.spent,
        "saved_seconds": cost.saved,
        "gpu_hours": cost.gpu_hours,
        "saved_gpu_hours": cost.gpu_hours_saved,
    }
    return Section(text, data=data)


def _refused(view: StudyView) -> str:
    count = sum(TrialRecord(trial).refused is not None for trial in view.pruned)
    return f" ({count} of them refused before they trained, for a limit)" if count else ""


def of_test_split(view: StudyView) -> Section:
    """How often the study was evaluated on the test split."""
    count = view.evaluations
    trained_here = view.record.own_train is False
    times = {0: "not evaluated", 1: "evaluated once"}.get(count, f"evaluated {count} times")
    text = f"The study was {times} on the test split." if count or trained_here else ""
    return Section(text, data={"looks_at_test": count})


def failed(view: StudyView) -> Section | None:
    """Which trials failed, and which their own code pruned, and why."""
    ended = [(trial, _why(trial)) for trial in view.trials if trial.state == TrialState.FAIL]
    own = [(trial, str(TrialRecord(trial).pruned)) for trial in view.pruned if TrialRecord(trial).pruned is not None]
    text = "\n\n".join([*_listed("Failed trials:", ended), *_listed("Trials that their own code pruned:", own)])
    return Section(text) if text else None


def _listed(head: str, trials: list[tuple[FrozenTrial, str]]) -> list[str]:
    lines = [f"- trial {trial.number}: {escape_cell(why)}" for trial, why in trials[:COUNT]]
    lines += [f"- and {len(trials) - COUNT} more"] if len(trials) > COUNT else []
    return ["\n".join([head, "", *lines])] if trials else []


def _why(trial: FrozenTrial) -> str:
    """The error that the driver recorded. A trial that began and has none was ended by hand."""
    record = TrialRecord(trial)
    return record.error or (BY_HAND if record.config is not None else "no reason recorded")


def of_code(view: StudyView) -> Section | None:
    """Which trials were made by which code of a train() of one's own, where that has changed."""
    made = versions(view.trials) if view.record.own_train else {}
    data = {"code": made} if any(made) else {}
    if len(made) < 2:
        return Section("", data=data) if data else None
    names = letters(view.trials)
    parts = [f"{names[code]} made the trials {ranges(made[code])}" for code in made if code]
    parts += [f"of {ranges(made[''])} it is not known"] if "" in made else []
    text = f"The code of train() changed while the study was made: {'; '.join(parts)}. "
    return Section(f"{text}Rows of different codes do not compare settings alone.", data=data)
