"""ASHA, the stopping variant, as a pure function of what the storage holds."""

from __future__ import annotations

import hashlib
import math

from optuna.pruners import BasePruner, NopPruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState


class ASHA(BasePruner):
    """Asynchronous successive halving, stopping variant (Li et al., arXiv 1810.05934, section 3).

    At each rung, epochs `min_resource * reduction_factor**k`, a trial goes on if its value is among the best
    ``max(1, n // reduction_factor)`` of the n trials that have reported there, itself included. FAIL trials do not
    count, nor do the epochs that a trial of the audit runs after it would have been stopped, so that the audit changes
    no other trial's fate; NaN is pruned at once. Optuna's own SuccessiveHalvingPruner writes rungs into the storage and
    decides by them, so that a crash or a retry changes later decisions; this one keeps no state.

    The engine does not ask at a trial's last epoch: a trial that reached it is COMPLETE.

    Args:
        min_resource: the first rung, in epochs. By default 4: on two of three recorded problems step decay reorders
            the trials later than a first rung at 1 would stop them (benchmarks/efficiency.py).
        reduction_factor: eta of the paper; one in so many goes on.
    """

    def __init__(self, min_resource: int = 4, reduction_factor: int = 2) -> None:
        if min_resource < 1:
            raise ValueError(f"min_resource={min_resource}: the first rung is at epoch 1 or later")
        if reduction_factor < 2:
            raise ValueError(f"reduction_factor={reduction_factor}: must be 2 or more")
        self.min_resource = min_resource
        self.reduction_factor = reduction_factor

    def __repr__(self) -> str:
        return f"ASHA(min_resource={self.min_resource}, reduction_factor={self.reduction_factor})"

    def is_rung(self, step: int) -> bool:
        """Whether trials are compared at epoch `step`."""
        rung = self.min_resource
        while rung < step:
            rung *= self.reduction_factor
        return rung == step

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step is None:
            return False
        value = trial.intermediate_values[step]
        if math.isnan(value):
            return True
        if not self.is_rung(step):
            return False
        sign = 1 if study.direction == StudyDirection.MAXIMIZE else -1
        others = study.get_trials(deepcopy=False)
        reported = [
            sign * other.intermediate_values[step]
            for other in others
            if other.number != trial.number
            and other.state != TrialState.FAIL
            and step <= other.user_attrs.get("audited", step)
            and not math.isnan(other.intermediate_values.get(step, math.nan))
        ]
        reported = sorted([*reported, sign * value], reverse=True)
        places = max(1, len(reported) // self.reduction_factor)
        return sign * value < reported[places - 1]


def audited(study: str, number: int, share: float) -> bool:
    """Whether the trial `number` is one of the random `share` that runs to its end where the pruner would stop it.

    Drawn from the names alone, so that a resumed run draws the same and no result decides.
    """
    drawn = hashlib.sha256(f"{study}:{number}".encode()).digest()[:8]
    return int.from_bytes(drawn) < share * 2**64


def may_stop(pruner: BasePruner, epochs: int | None) -> bool:
    """Whether `pruner` can stop a trial of so many epochs; None: of a number that is not known beforehand."""
    if isinstance(pruner, ASHA) and epochs is not None:
        return pruner.min_resource < epochs
    return not isinstance(pruner, NopPruner)
