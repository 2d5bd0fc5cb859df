"""What pruning saved, what it may have cost, and how often an audit shows the pruner wrong."""

from __future__ import annotations

from dataclasses import dataclass

from optuna.trial import FrozenTrial

from search.analysis.statistics import wilson
from search.analysis.view import StudyView
from search.config import epochs_of
from search.study.attributes import TrialRecord, value_of


@dataclass(frozen=True)
class Pruning:
    """The pruned trials against the winner."""

    pruned: int
    ran: int
    """The epochs that they ran."""
    planned: int
    """The epochs that they would have run: each its own setting `epochs`, else as many as the winner."""
    compared: int
    """Those that were stopped at an epoch that the winner has a value for."""
    ahead: int
    """Those of them that were then ahead of the winner."""


def pruning(view: StudyView) -> Pruning | None:
    """None without pruned trials, or without a winner."""
    stopped = [trial for trial in view.pruned if trial.intermediate_values]
    whole = view.best.intermediate_values if view.best else {}
    if not stopped or not whole:
        return None
    pruned = [trial.intermediate_values for trial in stopped]
    compared = [(values[max(values)], whole[max(values)]) for values in pruned if max(values) in whole]
    ahead = sum(view.sign * value > view.sign * winner for value, winner in compared)
    own = [epochs_of(TrialRecord(trial).config or {}) or len(whole) for trial in stopped]
    planned = sum(max(epochs, len(values)) for epochs, values in zip(own, pruned, strict=True))
    return Pruning(len(pruned), sum(map(len, pruned)), planned, len(compared), ahead)


@dataclass(frozen=True)
class Audit:
    """The trials that the pruner would have stopped and that ran to their end, against those that it let finish."""

    audited: list[FrozenTrial]
    """The best first."""
    kept: list[FrozenTrial]
    """The best first."""
    leaders: int
    """The best tenth of `kept`, at least one."""
    level: float
    """What the last of the leaders reached."""
    wrong: int
    """The audited trials that reached that, too."""
    interval: tuple[float, float]
    """95% (Wilson) of the share that is wrong."""
    more: int
    """The epochs that the audit cost."""


def audit(view: StudyView) -> Audit | None:
    """None without an audited trial, or without one that the pruner let finish."""
    stopped = {trial.number: epoch for trial in view.done if (epoch := TrialRecord(trial).audited) is not None}
    audited = [trial for trial in view.done if trial.number in stopped]
    kept = [trial for trial in view.done if trial.number not in stopped]
    if not audited or not kept:
        return None
    leaders = -(-len(kept) // 10)
    level = value_of(kept[leaders - 1]) or 0.0
    wrong = sum(view.sign * (value_of(trial) or 0.0) >= view.sign * level for trial in audited)
    more = sum(len(trial.intermediate_values) - stopped[trial.number] for trial in audited)
    return Audit(audited, kept, leaders, level, wrong, wilson(wrong, len(audited)), more)
