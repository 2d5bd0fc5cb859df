"""ASHA, the stopping variant, as a pure function of what the storage holds."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right, insort
from dataclasses import dataclass, field
from threading import Lock
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from optuna.pruners import BasePruner, NopPruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from search.config import epochs_of
from search.study.attributes import TrialRecord, loss_signs


class ASHA(BasePruner):
    """Asynchronous successive halving, stopping variant (Li et al., arXiv 1810.05934, section 3).

    At each rung, epochs `min_resource * reduction_factor**k`, a trial goes on if its value is among the best
    ``max(1, n // reduction_factor)`` of the n trials that have reported there, itself included. FAIL trials do not
    count, nor do the epochs that a trial of the audit runs after it would have been stopped, so that the audit changes
    no other trial's fate. Points learnt from earlier studies do not count either: they begin near the best, and would
    stop what is only found later. The others judge them. NaN is pruned at once. Optuna's own SuccessiveHalvingPruner
    writes rungs into the storage and decides by them, so that a crash or a retry changes later decisions. This one
    decides by the curves alone.

    Of several objectives the best are those of the first fronts; of the front that not all of which go on, those that
    are farthest from each other (MO-ASHA, Schmucker et al., arXiv 2106.12639, with their epsilon-net).

    The engine does not ask at a trial's last epoch: a trial that reached it is COMPLETE.

    Args:
        min_resource: the first rung, in epochs. By default 4: on two of three recorded problems step decay reorders
            the trials later than a first rung at 1 would stop them (benchmarks/efficiency.py).
        reduction_factor: eta of the paper; one in so many goes on.
        late: also stop a trial with less than ``reduction_factor`` times its epochs so far in all, where its length is
            known. The paper does not. What `search run` chooses by itself does not either: on two of seven recorded
            problems the best decay or catch up after it (benchmarks/last_rung.py).
    """

    ranks_several = True
    """It can rank the trials of a study of several objectives."""

    def __init__(self, min_resource: int = 4, reduction_factor: int = 2, late: bool = True) -> None:
        if min_resource < 1:
            raise ValueError(f"min_resource={min_resource}: the first rung is at epoch 1 or later")
        if reduction_factor < 2:
            raise ValueError(f"reduction_factor={reduction_factor}: must be 2 or more")
        self.min_resource = min_resource
        self.reduction_factor = reduction_factor
        self.late = late

    def __repr__(self) -> str:
        late = "" if self.late else ", late=False"
        return f"ASHA(min_resource={self.min_resource}, reduction_factor={self.reduction_factor}{late})"

    def is_late(self, trial: FrozenTrial, step: int) -> bool:
        """Whether the trial is not stopped at epoch `step`, because too little of it is still to come."""
        if self.late or (epochs := epochs_of(TrialRecord(trial).config or {})) is None:
            return False
        return step * self.reduction_factor > epochs

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
        compared = self.is_rung(step) and not self.is_late(trial, step)
        if len(study.directions) > 1:
            return compared and _behind(study, trial, step, self.reduction_factor)
        value = trial.intermediate_values[step]
        if math.isnan(value):
            return True
        if not compared:
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
        record = TrialRecord(trial)
        return self.sign * value if self.step <= (record.audited or self.step) and not record.learnt else None


def _behind(study: Study, trial: FrozenTrial, step: int, eta: int) -> bool:
    """Whether the trial is none of the best `eta`-th at the rung, by the values that the storage has of all there."""
    sign = loss_signs(study)
    there = {other.number: found for other in study.get_trials(deepcopy=False) if (found := _values(other, step, sign))}
    if trial.number not in there:
        return False
    numbers = [*there]
    wanted = max(1, len(numbers) // eta)
    return trial.number not in {numbers[place] for place in leaders(np.array([*there.values()]), wanted)}


def _values(trial: FrozenTrial, step: int, sign: list[int]) -> list[float]:
    """What the trial reported at the rung, the lower the better; empty if it does not count there."""
    values = TrialRecord(trial).rungs.get(str(step))
    counts = trial.state != TrialState.FAIL and isinstance(values, list) and len(values) == len(sign)
    return [one * value for one, value in zip(sign, values or [], strict=True)] if counts else []


def leaders(losses: NDArray[np.float64], wanted: int) -> list[int]:
    """The rows of the `wanted` best of T trials (T, M), the lower the better, front by front.

    Of the front that does not fit as a whole, an epsilon-net: first the best in the first objective, then again and
    again the one farthest from those taken, each objective in units of the front's range; of equals the first.
    """
    from search.study.storage import internals  # late: each training process whose space has an ASHA would wait for SQL

    ranks = internals.domination_ranks(losses, wanted)
    taken: list[int] = []
    for rank in range(len(losses)):
        front = np.flatnonzero(ranks == rank)
        if len(taken) + len(front) > wanted:
            return taken + [int(front[row]) for row in _net(losses[front], wanted - len(taken))]
        taken += front.tolist()
        if len(taken) == wanted:
            break
    return taken


def _net(front: NDArray[np.float64], wanted: int) -> list[int]:
    """So many rows of a front (F, M), far from each other."""
    if not wanted:
        return []
    span = np.ptp(front, axis=0)
    places = (front - front.min(axis=0)) / np.where(span > 0, span, 1.0)
    net = [int(np.argmin(places[:, 0]))]
    distance = np.full(len(front), np.inf)
    while len(net) < wanted:
        distance = np.minimum(distance, np.linalg.norm(places - places[net[-1]], axis=1))
        distance[net] = -1.0
        net.append(int(np.argmax(distance)))
    return net


_RUNGS: WeakKeyDictionary[Study, dict[int, _Rung]] = WeakKeyDictionary()
"""Study to its rungs. They are not in ASHA objects, which a space file may share, copy or pickle."""
_LOCK = Lock()


def is_rung(pruner: BasePruner, step: int) -> bool:
    """Whether `pruner` is ASHA and compares trials at epoch `step`."""
    return isinstance(pruner, ASHA) and pruner.is_rung(step)


def should_prune(study: Study, trial: Trial) -> bool:
    """Trial.should_prune, which Optuna refuses where there are several objectives."""
    if len(study.directions) == 1:
        return trial.should_prune()
    return study.pruner.prune(study, study.get_trials(deepcopy=False)[trial.number])


def audited(study: str, number: int, share: float) -> bool:
    """Whether the trial `number` is one of the random `share` that runs to its end where the pruner would stop it.

    Drawn from the names alone, so that a resumed run draws the same and no result decides.
    """
    drawn = hashlib.sha256(f"{study}:{number}".encode()).digest()[:8]
    return int.from_bytes(drawn) < share * 2**64


def may_stop(pruner: BasePruner, epochs: int | None) -> bool:
    """Whether `pruner` can stop a trial of so many epochs. None: the number is not known beforehand."""
    if isinstance(pruner, ASHA) and epochs is not None:
        last = epochs - 1 if pruner.late else epochs // pruner.reduction_factor
        return pruner.min_resource <= last
    return not isinstance(pruner, NopPruner)
