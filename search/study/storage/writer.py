"""Optuna's relational storage, except that it writes in few statements, and waits for a database that is away."""

from __future__ import annotations

import json
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from datetime import datetime, timedelta
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Engine, make_url, select
from sqlalchemy.orm import Session

from search.study.storage import internals, retry, writing
from search.study.storage.internals import models
from search.study.storage.mine import Mine, running
from search.study.storage.rows import distribution as distribution_of
from search.study.storage.rows import read
from search.study.storage.writing import Rows

_LONGEST_NAME = 512
"""Characters of a parameter's or an attribute's name; Optuna's columns have no more, which SQLite does not mind."""
_LARGEST_STEP = 2**31 - 1
"""Optuna's column is an integer of 32 bits, which SQLite does not mind either."""


stored_value = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value


class Writer(RDBStorage):
    """RDBStorage, except in how it writes.

    It writes in few statements what an epoch brings, and a trial's begin and end. A database that is away is waited
    for; what was written, although the answer was lost, is not written twice. What PostgreSQL would refuse is refused
    everywhere.
    """

    def __init__(self, url: str, engine_kwargs: dict[str, Any] | None = None, make_tables: bool = True) -> None:
        self._begin(url)
        super().__init__(url, engine_kwargs, skip_table_creation=not make_tables)
        self._close_in_the_end()

    def _begin(self, url: str) -> None:
        self.outage = retry.Outage(make_url(url).set(query={}).render_as_string())
        self.mine, self._held, self._made = Mine(), threading.local(), threading.local()

    def __getstate__(self) -> dict[Any, Any]:
        ours = ("outage", "mine", "_held", "_made")
        return {name: value for name, value in super().__getstate__().items() if name not in ours}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        self._begin(state["url"])
        super().__setstate__(state)
        self._close_in_the_end()

    def _close_in_the_end(self) -> None:
        """Close the connections when nobody uses the storage any more."""
        weakref.finalize(self, self.engine.dispose).atexit = False

    @property
    def reading(self) -> Engine:
        """The engine, without a transaction around what only reads where that is two round trips more."""
        if self.engine.name != "postgresql":
            return self.engine
        return self.engine.execution_options(isolation_level="AUTOCOMMIT")

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        if template_trial is not None or self.engine.name not in writing.INSERT:
            self._made.trial = None
            return self.outage.through(lambda: super(Writer, self)._create_new_trial(study_id, template_trial))
        made: dict[str, Any] = {}
        trial = self.outage.through(lambda: self._create(study_id, made))
        self.mine.begin(study_id, internals.trial_id(trial), trial)
        return trial

    def _create(self, study_id: int, made: dict[str, Any]) -> FrozenTrial:
        """A new trial; or the one of the attempt before, `made`, if that was written and only its answer lost."""
        t = models.TrialModel
        if made and self.engine.name != "sqlite":
            with self.reading.connect() as connection:
                ours = select(t.trial_id).where(t.trial_id == made["trial_id"], t.study_id == study_id)
                if connection.execute(ours.where(t.number == made["number"])).first():
                    return running(**made)
        with self.engine.begin() as connection:
            made["trial_id"], made["number"], made["start"] = writing.create(connection, study_id)
        return running(**made)

    def _get_prepared_new_trial(self, study_id: int, template_trial: FrozenTrial | None, session: Session) -> Any:
        """A new trial from a template; or the one of the attempt before.

        A database's sequence never gives an id twice, so one that is there is ours. SQLite's may, but there an answer
        is not lost.
        """
        trial, number = getattr(self._made, "trial", None) or (None, None)
        if trial is not None and self.engine.name != "sqlite":
            found: Any = session.get(models.TrialModel, trial)
            if found is not None and (found.study_id, found.number) == (study_id, number):
                return found
        if template_trial is None or self.engine.name not in writing.INSERT:
            made = super()._get_prepared_new_trial(study_id, template_trial, session)
        else:
            made = super()._get_prepared_new_trial(study_id, _bare(template_trial), session)
            writing.fill(session.connection(), study_id, int(made.trial_id), template_trial)
        self._made.trial = made.trial_id, made.number
        return made

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        began, again = writing.now(), False

        def attempt() -> bool:
            nonlocal again
            if again and self._is_so(trial_id, state, writing.local(began)):
                return True
            again = True
            return self._change(trial_id, state, values, began)

        try:
            done = self.outage.through(attempt)
        finally:
            known = self.mine.running(trial_id)
            self.mine.drop(trial_id)
        if done and state == TrialState.RUNNING:
            self._begins(trial_id)
        elif done and known is not None and state.is_finished() and self.engine.name in writing.INSERT:
            self.mine.end(trial_id, known, state, values, began)
        return done

    def _begins(self, trial_id: int) -> None:
        """Know the trial from now on, which has waited."""
        with Session(self.reading) as session:
            row = models.TrialModel.find_or_raise_by_id(trial_id, session)
            self.mine.begin(int(row.study_id), trial_id, read(session, [row])[0])

    def _change(self, trial_id: int, state: TrialState, values: Sequence[float] | None, when: datetime) -> bool:
        if state == TrialState.RUNNING or self.engine.name not in writing.INSERT:
            return super().set_trial_state_values(trial_id, state, values)
        done, before = writing.end(self.engine, self.reading, trial_id, state, values or (), when)
        if not done:
            self._refuse(trial_id, before)
        return done

    def _refuse(self, trial_id: int, state: TrialState | None) -> None:
        """Raise what Optuna raises for a trial that nobody may write to any more, if that is so."""
        if state is None:
            raise KeyError(f"no trial {trial_id}")
        self.check_trial_is_updatable(trial_id, state)

    def _is_so(self, trial_id: int, state: TrialState, since: datetime) -> bool:
        """Whether the trial has been in that state since then; an earlier change was not ours."""
        with Session(self.engine) as session:
            trial = models.TrialModel.find_or_raise_by_id(trial_id, session)
            when = trial.datetime_complete if state.is_finished() else trial.datetime_start
            # Some databases keep whole seconds.
            return bool(trial.state == state and when is not None and when >= since - timedelta(seconds=1))

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:
        rows = Rows(params={param_name: (param_value_internal, distribution)})
        if "\0" in param_name or len(param_name) > _LONGEST_NAME:
            raise ValueError(f"the setting's name {param_name[:40]!r} has a NUL or over {_LONGEST_NAME} characters")
        if previous_distribution is None:
            with self.mine.changed(trial_id, rows):
                super()._set_trial_param(
                    trial_id, param_name, param_value_internal, distribution, previous_distribution
                )
            return
        try:
            check_distribution_compatibility(previous_distribution, distribution)
        except ValueError:
            with self.reading.connect() as connection:  # a trial that has ended is told so first
                self._refuse(trial_id, writing.state_of(connection, trial_id))
            raise
        self._put(trial_id, rows)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._put(trial_id, Rows(user={key: value}))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._put(trial_id, Rows(system={key: value}))

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._put(trial_id, Rows(curve={step: intermediate_value}))

    def record(self, trial_id: int, attrs: Mapping[str, Any], step: int, value: float | None) -> None:
        """Set user attributes of a trial that runs and, if there is a value, its value at `step`, in one transaction.

        Raises UpdateFinishedTrialError.
        """
        self._put(trial_id, Rows(user=dict(attrs), curve={} if value is None else {step: value}))

    def set_study_system_attrs(self, study_id: int, attrs: Mapping[str, Any]) -> None:
        """Set system attributes of a study, all in one transaction."""
        if self.engine.name in writing.INSERT:
            writing.note(self.engine, self.reading, study_id, attrs)
            return
        for key, value in attrs.items():
            self.set_study_system_attr(study_id, key, value)

    @contextmanager
    def together(self, trial_id: int) -> Iterator[None]:
        """Write what the block writes of the trial at its end, in one transaction.

        Raises UpdateFinishedTrialError. What the block has written before it raised is written, too.
        """
        self._held.rows, self._held.trial = Rows(), trial_id
        try:
            yield
        finally:
            rows, self._held.rows = self._held.rows, None
            if rows:
                self._put(trial_id, rows)

    def _put(self, trial_id: int, rows: Rows) -> None:
        """Write the rows of the trial, if it runs or waits; in the end of `together`, if that is under way."""
        for step in rows.curve:
            _check_step(step)
        with self.mine.changed(trial_id, rows):
            if getattr(self._held, "rows", None) is not None and self._held.trial == trial_id:
                self._held.rows.add(rows)
            else:
                self._refuse(trial_id, self.outage.through(lambda: self._write(trial_id, rows)))

    def _write(self, trial_id: int, rows: Rows) -> TrialState | None:
        if self.engine.name in writing.INSERT:
            return writing.write(self.engine, self.reading, trial_id, rows)
        for key, text in rows.user.items():  # as Optuna does it, one by one
            super().set_trial_user_attr(trial_id, key, json.loads(text))
        for key, text in rows.system.items():
            super().set_trial_system_attr(trial_id, key, json.loads(text))
        for name, (number, kind) in rows.params.items():
            super()._set_trial_param(trial_id, name, number, distribution_of(kind), None)
        for step, stored in rows.curve.items():
            super().set_trial_intermediate_value(trial_id, step, stored_value(*stored))
        return TrialState.RUNNING


def _bare(trial: FrozenTrial) -> FrozenTrial:
    """The trial without what other tables than that of the trials hold."""
    bare = copy(trial)
    bare.values, bare.params, bare.distributions = None, {}, {}
    bare.user_attrs, bare.system_attrs, bare.intermediate_values = {}, {}, {}
    return bare


def _check_step(step: int) -> None:
    if step > _LARGEST_STEP:
        raise ValueError(f"step {step} is over {_LARGEST_STEP}")
