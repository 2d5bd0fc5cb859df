"""The report of a study: reports/<study>.md."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.files import file_name, write_text
from search.report import table
from search.report.columns import duration
from search.study import metric_of, ranked


@dataclass(frozen=True)
class Cost:
    """Machine seconds: spent in training and validation by all workers together, and not spent thanks to pruning."""

    spent: float
    saved: float


def cost(trials: list[FrozenTrial]) -> Cost:
    """What the trials took. Saved: the epochs that pruned trials did not run, at each trial's own mean speed."""
    spent = saved = 0.0
    for trial in trials:
        seconds = trial.user_attrs.get("epoch", {}).get("machine_seconds", 0.0)
        spent += seconds
        planned, ran = trial.user_attrs.get("config", {}).get("epochs"), len(trial.intermediate_values)
        if trial.state == TrialState.PRUNED and isinstance(planned, int) and ran:
            saved += seconds / ran * (planned - ran)
    return Cost(spent, saved)


def render(study: Study) -> str:
    """The whole page, as Markdown."""
    trials = study.get_trials(deepcopy=False)
    parts = [f"# {study.study_name}", _head(study, trials), table.markdown(study), _counts(trials)]
    if study.user_attrs.get("baselines"):
        parts.append("Rows marked *hand-tuned* are not trials of this study: their numbers are those they came with.")
    parts.append(_failures(trials))
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(study: Study, trials: list[FrozenTrial]) -> str:
    best = ranked(study)[:1]
    metric = metric_of(study)
    if not best:
        return f"No trial completed, so there is no best {metric}."
    ran_on = best[0].user_attrs.get("ran_on", {})
    where = f", on {ran_on['device']} ({ran_on['device_name']}) in {ran_on['precision']}" if ran_on else ""
    return f"Best {metric}: **{best[0].value:.4f}**, trial {best[0].number}{where}, measured at its last epoch."


def _counts(trials: list[FrozenTrial]) -> str:
    counts, spent = Counter(trial.state for trial in trials), cost(trials)
    waiting = counts[TrialState.WAITING] + counts[TrialState.RUNNING]
    ran = len(trials) - waiting
    text = (
        f"{ran} trials ran: {counts[TrialState.COMPLETE]} completed, {counts[TrialState.PRUNED]} were pruned, "
        f"{counts[TrialState.FAIL]} failed"
    )
    text += f"; {waiting} are under way or wait in the queue" if waiting else ""
    return f"{text}. Machine time: {duration(spent.spent)} spent, {duration(spent.saved)} saved by pruning."


def _failures(trials: list[FrozenTrial]) -> str:
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    lines = [f"- trial {trial.number}: {trial.user_attrs.get('error', 'no reason recorded')}" for trial in failed[:20]]
    if len(failed) > 20:
        lines.append(f"- and {len(failed) - 20} more")
    return "\n".join(["Failed trials:", "", *lines]) if failed else ""


def write(study: Study, folder: Path) -> Path:
    """Write the page to `folder`/<study>.md, whole or not at all; returns its path."""
    path = folder / f"{file_name(study.study_name)}.md"
    write_text(path, render(study))
    return path
