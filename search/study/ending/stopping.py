"""What ends a run before its study has all its trials: time, a budget of device time, a value reached, patience."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

from search.errors import option
from search.format import plural
from search.study.attributes import TrialRecord, feasible, value_of
from search.study.ending.prospect import FEWEST, error_of, prospect, room, worth

TOLD = (TrialState.COMPLETE, TrialState.PRUNED)
"""The states that patience counts."""


@dataclass(frozen=True)
class Budget:
    """So many hours of devices, by all trials of a study together; one that shares a GPU with three takes a quarter."""

    hours: float
    device: Literal["gpu", "cpu"]

    def __str__(self) -> str:
        return f"{self.hours:g}{self.device}h"


@dataclass(frozen=True)
class Reached:
    """A limit that is reached: its option, what happened, and whether running trials go back in the queue for it.

    `option` may also be ``sampler`` or ``callback``, which the user does not change.
    """

    option: str
    why: str
    at_once: bool


@dataclass
class Stopping:
    """Follows the trials of a study, earlier runs' included, and says which limit is reached.

    `deadline`: of time.monotonic(). `until`: a value of the metric that a COMPLETE trial has to reach; the value of a
    trial that runs does not count, because its last epoch decides. `patience`: so many trials ended, COMPLETE or
    PRUNED, since the best one did; it begins with the first COMPLETE trial. Failed trials do not count. "auto": until
    16 more trials would hardly gain anything (search/study/ending/prospect.py).

    At the first three limits the trials that run can gain nothing, so they go back in the queue. At the limit of
    patience no new trial starts. One that runs may still become the best, and then the search goes on.
    """

    deadline: float = math.inf
    budget: Budget | None = None
    until: float | None = None
    patience: int | Literal["auto"] | None = None
    maximize: bool = True
    stopped: Reached | None = field(default=None, init=False)
    """The sampler, or other code of the space file, has called Study.stop()."""
    best: tuple[float, int] | None = field(default=None, init=False)
    since: int = field(default=0, init=False)
    hours: float = field(default=0.0, init=False)
    _metric: str = field(default="", init=False)
    _values: list[float] = field(default_factory=list, init=False)
    """Of the completed trials, higher is better."""
    _ended: int = field(default=0, init=False)
    _error: float | None = field(default=None, init=False)
    """Of the best value."""
    _judged: tuple[int, Reached | None] = field(default=(0, None), init=False)
    """So many trials had ended when it was judged whether more are worth it, and the answer."""
    _seconds: dict[int, float] = field(default_factory=dict, init=False)

    def count_in(self, trials: Sequence[FrozenTrial], metric: str) -> None:
        """Count in the trials that earlier runs left, of a study of this metric."""
        self._metric = metric
        for trial in trials:
            known = TrialRecord(trial)
            self.spend(trial.number, known.epoch.get("machine_seconds", 0.0), known.cost)
        ended = [(trial.datetime_complete, trial.number, trial) for trial in trials if trial.state in TOLD]
        for _, number, trial in sorted(ended, key=lambda end: (end[0] or datetime.min, end[1])):
            value = value_of(trial) if trial.state == TrialState.COMPLETE and feasible(trial) else None
            self.ended(number, value, trial)

    def spend(self, trial: int, seconds: float, cost: Mapping[str, Any]) -> None:
        """All epochs of `trial` so far took `seconds`; `cost` has its ``gpus`` and ``cpus``, shares of devices."""
        if self.budget is None:
            return
        share = cost.get(f"{self.budget.device}s")
        taken = seconds * share / 3600 if isinstance(share, (int, float)) else 0.0
        self.hours += taken - self._seconds.get(trial, 0.0)
        self._seconds[trial] = taken

    def ended(self, trial: int, value: float | None, stored: FrozenTrial | None = None) -> None:
        """`trial` was COMPLETE with `value`, or PRUNED (None). To be told in the order in which trials ended.

        `stored`: the trial as the study has it, which may say how many images `value` is measured on.
        """
        self._ended += 1
        if value is not None:
            self._values.append(value if self.maximize else -value)
        if value is not None and (self.best is None or not self._reaches(self.best[0], value)):
            self.best, self.since = (value, trial), 0
            self._error = None if stored is None else error_of(stored, self._metric)
        elif self.best is not None:
            self.since += 1

    def reached(self) -> Reached | None:
        """The limit that is reached, if one is."""
        if self.until is not None and self.best and self._reaches(self.best[0], self.until):
            until = option("until", f"{self.until:g}")
            why = f"{until} is reached: trial {self.best[1]} has {self.best[0]:.4g}"
            return Reached("until", why, at_once=True)
        if self.budget is not None and self.hours >= self.budget.hours:
            spent = f"{self.hours:.3g} {self.budget.device.upper()}-hours"
            return Reached("budget", f"{option('budget', self.budget)} is spent: {spent}", at_once=True)
        if time.monotonic() > self.deadline:
            return Reached("timeout", "the time is over", at_once=True)
        if self.patience == "auto":
            if self._judged[0] != self._ended:
                self._judged = self._ended, self._hardly_more()
            return self._judged[1] or self.stopped
        if self.patience is not None and self.best and self.since >= self.patience:
            none = f"of the last {plural(self.since, 'trial')} none was better than trial {self.best[1]}"
            why = f"{option('patience', self.patience)}: {none}"
            return Reached("patience", why, at_once=False)
        return self.stopped

    def _reaches(self, value: float, goal: float) -> bool:
        return value >= goal if self.maximize else value <= goal

    def _hardly_more(self) -> Reached | None:
        """Whether more trials are not worth their time."""
        if len(self._values) < FEWEST:
            return None
        most = room(self._values, self.maximize, self._metric)
        seen = prospect(self._values, self._ended, most=most)
        least = worth(self._values, max(self._values), self._error)
        if not seen.high <= least:
            return None
        less = "half the standard error of the best" if self._error is not None else "a tenth of its lead on the median"
        gain = f"{plural(seen.more, 'more trial')} would gain at most {seen.high:.1g} (80% interval)"
        why = f"{gain}, and {less} is {least:.1g}"
        return Reached("patience", f"{option('patience', 'auto')}: {why}", at_once=False)
