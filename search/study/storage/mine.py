"""The trials that this process runs, as it wrote them: nobody needs to read them again."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from optuna.trial import FrozenTrial, TrialState

from search.study.storage.internals import models
from search.study.storage.rows import distribution
from search.study.storage.writing import Rows, local

MOST = 1000
"""So many ended trials are kept for the next who reads the study."""


class Mine:
    """Trials that run and that this storage alone writes, and those that it has just ended.

    One process writes the trials that it runs, and the lease of the study sees to that. Somebody may end such a trial
    in the dashboard, so who asks for it looks at its state, and at nothing else.

    Each change makes a new FrozenTrial: those that were handed out stay as they were.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, tuple[int, FrozenTrial]] = {}
        self._ended: dict[int, FrozenTrial] = {}
        self._fresh: int | None = None

    def begin(self, study: int, number: int, trial: FrozenTrial) -> None:
        """The trial with the id `number` of the `study` runs from now on."""
        with self._lock:
            self._running[number] = study, trial
            self._fresh = number

    def fresh(self, number: int) -> FrozenTrial | None:
        """The trial, if it has begun an instant ago and nobody has asked for it since."""
        with self._lock:
            if self._fresh != number:
                return None
            self._fresh = None
            found = self._running.get(number)
        return found and independent(found[1])

    def of(self, study: int) -> dict[int, FrozenTrial]:
        """The running trials of the study."""
        with self._lock:
            return {number: trial for number, (of, trial) in self._running.items() if of == study}

    def running(self, number: int) -> FrozenTrial | None:
        """The trial as it was last written, if it runs here."""
        with self._lock:
            found = self._running.get(number)
        return found and independent(found[1])

    def drop(self, number: int) -> None:
        """The trial runs here no longer, or what is known of it is in doubt."""
        with self._lock:
            self._running.pop(number, None)

    def end(
        self, number: int, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None, when: datetime
    ) -> None:
        """The `trial`, as `running` had it, has ended. `when`: as Optuna's columns have it."""
        trial.state, trial.datetime_complete = state, local(when)
        trial.values = None if values is None else [*map(float, values)]
        with self._lock:
            if len(self._ended) >= MOST:
                self._ended.clear()
            self._ended[number] = trial

    def ended(self, number: int) -> FrozenTrial | None:
        """The trial, if it has ended and nobody has taken it since."""
        with self._lock:
            return self._ended.get(number)

    @property
    def just_ended(self) -> bool:
        """Whether there is a trial that has ended and nobody has taken since."""
        return bool(self._ended)

    def taken(self, numbers: Collection[int]) -> list[FrozenTrial]:
        """Those of the trials that have ended; they are not kept any longer."""
        with self._lock:
            return [self._ended.pop(number) for number in numbers if number in self._ended]

    @contextmanager
    def changed(self, number: int, rows: Rows) -> Iterator[None]:
        """Write the rows of the trial in the block, and know of them afterwards; nothing, if the block raises."""
        try:
            yield
        except BaseException:
            self.drop(number)
            raise
        with self._lock:
            if number in self._running:
                study, before = self._running[number]
                self._running[number] = study, with_rows(before, rows)


def with_rows(before: FrozenTrial, rows: Rows) -> FrozenTrial:
    """The trial as it is read once the rows are written."""
    made = independent(before)
    value_of = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value
    made.user_attrs |= {key: json.loads(text) for key, text in rows.user.items()}
    made.system_attrs |= {key: json.loads(text) for key, text in rows.system.items()}
    made.intermediate_values |= {step: value_of(*stored) for step, stored in rows.curve.items()}
    made.distributions |= {name: distribution(text) for name, (_, text) in rows.params.items()}
    made.params |= {name: distribution(text).to_external_repr(value) for name, (value, text) in rows.params.items()}
    return made


def independent(trial: FrozenTrial) -> FrozenTrial:
    """A copy whose parameters, values and attributes may be set."""
    made = copy.copy(trial)
    made.params, made.distributions = dict(trial.params), dict(trial.distributions)
    made.user_attrs, made.system_attrs = dict(trial.user_attrs), dict(trial.system_attrs)
    made.intermediate_values = dict(trial.intermediate_values)
    return made


def running(trial_id: int, number: int, start: datetime) -> FrozenTrial:
    """A trial that has just begun. `start`: as Optuna's columns have it."""
    return FrozenTrial(
        number=number,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=local(start),
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=trial_id,
    )
