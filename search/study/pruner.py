"""ASHA, the stopping variant, as a pure function of what the storage holds."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right, insort
from dataclasses import dataclass, field
from threading import Lock
from weakref import WeakKeyDictionary

from optuna.pruners import BasePruner, NopPruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.study.attributes import TrialRecord


class ASHA(BasePruner):
    """Asynchronous successive halving, stopping variant (Li et al., arXiv 1810.05934, section 3).

    At each rung, epochs `min_resource * reduction_factor**k`, a trial goes on if its value is among the best
    ``max(1, n // reduction_factor)`` of the n trials that have reported there, itself included. FAIL trials do not
    count, nor do the epochs that a trial of the audit runs after it would have been stopped, so that the audit changes
    no other trial's fate; NaN is pruned at once. Optuna's own SuccessiveHalvingPruner writes rungs into the storage and
    decides by them, so that a crash or a retry changes later decisions. This one decides by the curves alone.

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
        with _LOCK:
            rung = _RUNGS.setdefault(study, {}).setdefault(step, _Rung(step, sign))
            better, count = rung.place(trial.number, sign * value, study.get_trials(deepcopy=False))
        return better >= max(1, count // self.reduction_factor)


@dataclass
class _Rung:
    """The values that trials reported at one epoch. Each ended trial is read once."""

    step: int
    sign: int
    ended: list[float] = field(default_factory=list)
    """The values of trials that have ended, from the worst to the best."""
    numbers: set[int] = field(default_factory=set)
    """Those trials."""
    open: list[int] = field(default_factory=list)
    """The numbers of trials that had not ended at the last call."""
    there: dict[int, float] = field(default_factory=dict)
    """The values of those of them that have reported here."""
    seen: int = 0
    """How many trials there were then."""

    def place(self, number: int, value: float, trials: list[FrozenTrial]) -> tuple[int, int]:
        """How many reported a better value than trial `number` did, and how many any, that one included.

        `trials`: of the study, by number.
        """
        still_open = []
        for place in [*self.open, *range(self.seen, len(trials))]:
            trial = trials[place]
            if not trial.state.is_finished():
                still_open.append(place)
                if place not in self.there and (reported := self._reported(trial)) is not None:
                    self.there[place] = reported
                continue
            self.there.pop(place, None)
            if (reported := self._reported(trial)) is not None:
                insort(self.ended, reported)
                self.numbers.add(trial.number)
        self.open, self.seen = still_open, len(trials)
        others = [reported for place, reported in self.there.items() if place != number]
        better = len(self.ended) - bisect_right(self.ended, value) + sum(other > value for other in others)
        return better, len(self.ended) + len(others) + (number not in self.numbers)

    def _reported(self, trial: FrozenTrial) -> float | None:
        """What the trial reported here, the best the highest, if it counts. Neither changes while it runs."""
        value = trial.intermediate_values.get(self.step, math.nan)
        if math.isnan(value) or trial.state == TrialState.FAIL:
            return None
        return self.sign * value if self.step <= (TrialRecord(trial).audited or self.step) else None


_RUNGS: WeakKeyDictionary[Study, dict[int, _Rung]] = WeakKeyDictionary()
"""Study to its rungs. They are not in ASHA objects, which a space file may share, copy or pickle."""
_LOCK = Lock()


def audited(study: str, number: int, share: float) -> bool:
    """Whether the trial `number` is one of the random `share` that runs to its end where the pruner would stop it.

    Drawn from the names alone, so that a resumed run draws the same and no result decides.
    """
    drawn = hashlib.sha256(f"{study}:{number}".encode()).digest()[:8]
    return int.from_bytes(drawn) < share * 2**64


def may_stop(pruner: BasePruner, epochs: int | None) -> bool:
    """Whether `pruner` can stop a trial of so many epochs. None: the number is not known beforehand."""
    if isinstance(pruner, ASHA) and epochs is not None:
        return pruner.min_resource < epochs
    return not isinstance(pruner, NopPruner)
