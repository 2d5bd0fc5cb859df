"""What the trials of a study took, and what pruning saved."""

from __future__ import annotations

from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from search.study import config_of, epoch_of


@dataclass(frozen=True)
class Cost:
    """Machine seconds: spent in training and validation by all workers together, and not spent thanks to pruning."""

    spent: float
    saved: float


def cost(trials: list[FrozenTrial]) -> Cost:
    """What the trials took. Saved: the epochs that pruned trials did not run, at each trial's own mean speed."""
    spent = saved = 0.0
    for trial in trials:
        seconds = epoch_of(trial).get("machine_seconds", 0.0)
        spent += seconds
        planned, ran = config_of(trial).get("epochs"), len(trial.intermediate_values)
        if trial.state == TrialState.PRUNED and isinstance(planned, int) and ran:
            saved += seconds / ran * (planned - ran)
    return Cost(spent, saved)
