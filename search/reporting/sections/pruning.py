"""What pruning saved, what it may have cost, and how often the audit found it wrong."""

from __future__ import annotations

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.analysis.statistics import wilson
from search.format import format_number
from search.study.study import metric_of, value_of


def saved(study: Study, done: list[FrozenTrial]) -> str:
    """What pruning saved, and how many of the pruned were ahead of the winner when they were stopped."""
    states = (TrialState.PRUNED,)
    pruned = [trial for trial in study.get_trials(deepcopy=False, states=states) if trial.intermediate_values]
    whole = done[0].intermediate_values if done else {}
    if not pruned or not whole:
        return ""
    sign = 1 if study.direction == StudyDirection.MAXIMIZE else -1
    ran = sum(len(trial.intermediate_values) for trial in pruned)
    planned = len(pruned) * len(whole)
    last = [(max(trial.intermediate_values), trial) for trial in pruned]
    compared = [(trial.intermediate_values[step], whole[step]) for step, trial in last if step in whole]
    ahead = sum(sign * value > sign * winner for value, winner in compared)
    saved = (
        f"{len(pruned)} pruned trials ran {ran} epochs; at the winner's {len(whole)} each they would have run {planned}"
    )
    return (
        f"Pruning: {saved}. When they were stopped, {ahead} of {len(compared)} were ahead of what the winner (trial "
        f"{done[0].number}) had after as many epochs: these are what pruning may have cost."
    )


def audit(study: Study, done: list[FrozenTrial]) -> str:
    """How often the pruner would have stopped one of the leaders, by the trials that ran on all the same.

    The leaders are the best tenth of what the pruner let finish, at least one; `done` are the COMPLETE, best first.
    """
    audited = [trial for trial in done if "audited" in trial.user_attrs]
    kept = [trial for trial in done if "audited" not in trial.user_attrs]
    if not audited or not kept:
        return ""
    sign = 1 if study.direction == StudyDirection.MAXIMIZE else -1
    leaders = kept[: -(-len(kept) // 10)]
    level = value_of(leaders[-1]) or 0.0
    wrong = sum(sign * (value_of(trial) or 0.0) >= sign * level for trial in audited)
    low, high = wilson(wrong, len(audited))
    metric, best = metric_of(study), audited[0]
    place = "trial that it let finish" if len(leaders) == 1 else f"{len(leaders)} of {len(kept)} that it let finish"
    more = sum(len(trial.intermediate_values) - trial.user_attrs["audited"] for trial in audited)
    return (
        f"Audit of the pruner: of {len(audited)} trials that it would have stopped and that ran to their end, {more} "
        f"epochs more, {wrong} reached the best {place} ({metric} {format_number(level)}): it was wrong in "
        f"{wrong / len(audited):.0%} (95% interval {low:.0%} to {high:.0%}). The best of them, trial {best.number}, "
        f"would have been stopped at epoch {best.user_attrs['audited']} and has {format_number(value_of(best))}; the "
        f"best that it let finish, trial {kept[0].number}, has {format_number(value_of(kept[0]))}."
    )
