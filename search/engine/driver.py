"""The study's side of a run, the same for every engine: ask, report, prune, tell."""

from __future__ import annotations

import copy
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.config import make_config
from search.engine.callbacks import Callbacks
from search.engine.failures import kind
from search.engine.failures import reason as why
from search.engine.kept import RUNS
from search.engine.retention import Keeping
from search.engine.trial import ActiveTrial, Callback, RunAborted, blamed
from search.files.locations import Where
from search.space.file import SpaceFile
from search.study.attributes import BY_HAND, TrialRecord
from search.study.pruner import audited
from search.study.stopping import Limits
from search.study.storage.rdb import record

MAX_ATTEMPTS = 3
"""A trial whose worker died so often in a row, with no epoch more than before, is FAIL."""
_TOLD = (TrialState.COMPLETE, TrialState.PRUNED)
"""What patience counts."""


class Driver:
    """Asks the study for trials, writes their epochs to it, and decides who goes on.

    Only the process of the driver writes to the storage. What a worker sends is one of ``{"epoch": {...}, "step":
    number, "last": bool}``, with ``"notes"`` for the user, ``"rates"``, ``"cost"``, ``"right"``, ``"answers"`` and
    ``"test"``, ``{"end": True}``, ``{"error": reason}``, ``{"lost": True}``, when its training process died, and
    ``{"silent": seconds}``, when it was given up; from another process all with ``"attempt"``, the job's number.
    """

    def __init__(
        self,
        study: Study,
        space: SpaceFile,
        trials: int,
        limits: Limits | None = None,
        listeners: Sequence[Callback] = (),
        signalled: Sequence[int] = (),
        max_failures: int = 0,
        audit: float = 0.0,
        keeps: bool = True,
        say: Callable[[str], None] = print,
        ours: Callable[[], None] = lambda: None,
        run_dir: Where = RUNS,
    ) -> None:
        """`limits`: what may end the run earlier. `signalled`: not empty once the run shall stop.

        `max_failures`: raise Hopeless when so many trials in a row failed of anything but diverging; 0: never.
        `audit`: the share of the trials that the pruner would stop, and that run to their end instead. `keeps`: the
        leader's weights, if the training is the built-in one. `say`: called with one line for the user.
        `ours`: raises SearchError once another process runs the study.
        `run_dir`: the folder for weights and checkpoints, or its URL.
        """
        self.study = study
        self.space = space
        self.trials = trials
        self.limits = limits or Limits()
        self.signalled = signalled
        self.max_failures = max_failures
        self.audit = audit
        self.say = say
        self.ours = ours
        self.audience = Callbacks(listeners, say)
        self.keeping = Keeping(study, space.metric, trained=space.train is None, weights=keeps, run_dir=run_dir)
        self._failed_in_row = 0
        self._attempts = 0
        self._loner: int | None = None
        """A trial that ran out of memory beside others, and is tried again without them."""
        self.live: dict[int, ActiveTrial] = {}
        trials_so_far = study.get_trials(deepcopy=False)
        done = [trial for trial in trials_so_far if trial.state.is_finished()]
        self.counts = Counter(trial.state for trial in done)
        self.at_start = self.counts.total()
        self.keeping.begin(done, self.live)
        self._count_in(trials_so_far)

    def _count_in(self, trials: Sequence[FrozenTrial]) -> None:
        """Tell the limits of the trials that earlier runs left."""
        for trial in trials:
            known = TrialRecord(trial)
            self.limits.spend(trial.number, known.epoch.get("machine_seconds", 0.0), known.cost)
        ended = [(trial.datetime_complete, trial.number, trial) for trial in trials if trial.state in _TOLD]
        for _, number, trial in sorted(ended, key=lambda end: (end[0] or datetime.min, end[1])):
            self.limits.ended(number, trial.value if trial.state == TrialState.COMPLETE else None)

    @property
    def over(self) -> bool:
        """A limit is reached at which the trials that run go back in the queue."""
        reached = self.limits.reached()
        return reached is not None and reached.at_once and (bool(self.live) or self._has_room())

    @property
    def finished(self) -> bool:
        """Nothing runs and nothing more is to be asked for."""
        return not self.live and not self._wants_more()

    @property
    def left(self) -> int:
        """How many trials have yet to start."""
        return max(0, self.trials - self.counts.total() - len(self.live))

    def _wants_more(self) -> bool:
        return self._has_room() and self.limits.reached() is None

    def _has_room(self) -> bool:
        return self.left > 0

    def next(self) -> ActiveTrial | None:
        """The next trial to run: an interrupted one, a queued one, or the sampler's; None if no more are wanted."""
        self._heed_signals()
        while self._wants_more() and not (self._loner is not None and self.live):
            with blamed("sampler"):
                trial = self.study.ask()  # the loner, if there is one: a queue gives the lowest number first
            self._attempts += 1
            known = copy.deepcopy(trial._cached_frozen_trial)  # as it stood before this attempt
            job = ActiveTrial(trial, {}, known, attempt=self._attempts)
            job.audited, job.cost = job.before.audited is not None, job.before.cost
            self.live[job.number] = job
            try:
                job.settings = self.space.suggest(trial)
                if self.space.train is None:
                    job.settings = make_config(job.settings).model_dump(mode="json")
            except UpdateFinishedTrialError:
                self._end(job, TrialState.FAIL, BY_HAND)
                continue
            except (Exception, SystemExit) as error:  # the user's own space(trial), or a point that is no config
                self.fail(job, why(error))
                continue
            job.keep, job.checkpoints = self.keeping.keep(job.number), self.keeping.checkpoints(job.number)
            if job.before.config is None:
                job.record.config = json.loads(json.dumps(job.settings, default=repr))
            return job
        return None

    def _heed_signals(self) -> None:
        if self.signalled:  # the KeyboardInterrupt was lost, in compiled code or while a module was imported
            raise KeyboardInterrupt
        self.ours()

    def receive(self, job: ActiveTrial, message: dict[str, Any]) -> bool:
        """Take in what the worker sent; whether the trial goes on.

        What comes too late, of an attempt that was given up, changes nothing: the trial has ended or runs elsewhere.
        That somebody has ended the trial in the dashboard is learnt for nothing: the storage refuses to write to it.
        """
        self._heed_signals()
        if self.live.get(job.number) is not job or message.get("attempt", job.attempt) != job.attempt:
            return False
        try:
            return self._take(job, message)
        except UpdateFinishedTrialError:
            self._end(job, TrialState.FAIL, BY_HAND)
            return False

    def _take(self, job: ActiveTrial, message: dict[str, Any]) -> bool:
        if "error" in message:
            if not self._tried_alone(job, message["error"]):
                self.fail(job, message["error"])
            return False
        if "silent" in message:
            self.fail(job, f"timeout: no epoch within {message['silent']:g} s (--trial-timeout)")
            return False
        if "lost" in message:
            self.lost(job)
            return False
        if "end" in message:
            self._complete(job)
            return False
        return self._report(job, message)

    def _report(self, job: ActiveTrial, message: dict[str, Any]) -> bool:
        first, job.step = not job.epoch, message.get("step", job.step + 1)
        before = job.epoch.get("machine_seconds", job.before.epoch.get("machine_seconds", 0.0))
        job.epoch = {**message["epoch"], "machine_seconds": before + message["epoch"]["seconds"]}
        metric = self.space.metric
        value = job.epoch.get(metric)
        if not isinstance(value, (int, float)):
            self.fail(
                job,
                f"user_code: the metric {metric!r} is missing from what train() yields: {', '.join(message['epoch'])}",
            )
            return False
        if not math.isfinite(value):
            self.fail(job, f"diverged: {metric} is {value} at epoch {job.step}")
            return False
        new = TrialRecord()
        if first and "ran_on" in message:
            new.ran_on = message["ran_on"]
        if first and (job.step > 1 or job.known.intermediate_values):
            new.resumed_after = [*(job.before.resumed_after or []), job.step - 1]
        if "cost" in message:
            new.cost = job.cost = message["cost"]
        job.notes, job.rates = message.get("notes", []), message.get("rates", {})
        if job.notes:
            new.notes = job.notes
        job.right, job.answers = message.get("right"), message.get("answers")
        if job.right is not None:
            new.val_images = len(job.right)
        if "test" in message:
            new.test = job.looked = message["test"]
        new.epoch = job.epoch
        self.limits.spend(job.number, job.epoch["machine_seconds"], job.cost)
        replayed = job.step in job.known.intermediate_values
        # Before the decision, so that a pruned trial's curve holds its last epoch.
        record(job.trial, new.stored, job.step, None if replayed else float(value))
        self.audience.epoch(job)
        if message["last"]:
            self._complete(job)
            return False
        # The last of the replayed is decided again: the crash may have come between its report and its decision.
        if job.step >= max(job.known.intermediate_values, default=0) and self._stopped(job):
            self._end(job, TrialState.PRUNED)
            return False
        return True

    def _stopped(self, job: ActiveTrial) -> bool:
        """Whether the pruner stops the trial here. Of the audit's share it is noted only, and nobody asks again."""
        with blamed("pruner"):
            if job.audited or not job.trial.should_prune():
                return False
        job.audited = audited(self.study.study_name, job.number, self.audit)
        if job.audited:
            job.record.audited = job.step
        return not job.audited

    def _complete(self, job: ActiveTrial) -> None:
        if job.step == 0:
            self.fail(job, "user_code: train() yielded nothing")
            return
        self._end(job, TrialState.COMPLETE)

    def fail(self, job: ActiveTrial, reason: str) -> None:
        """Mark the trial FAIL, with its reason, which begins with one of failures.CLASSES. Raises Hopeless."""
        job.record.error = reason
        self._end(job, TrialState.FAIL, reason)
        self._failed_in_row += kind(reason) != "diverged"
        if 0 < self.max_failures <= self._failed_in_row:
            raise RunAborted(f"{self._failed_in_row} trials in a row failed (--max-failures), the last: {reason}")

    def orphaned(self) -> None:
        """The engine broke down, and all that ran with it."""
        for job in list(self.live.values()):
            self.receive(job, {"lost": True})

    def lost(self, job: ActiveTrial) -> None:
        """The worker died: back in the queue, unless it has happened too often in a row without an epoch more."""
        further = job.step > max(job.known.intermediate_values, default=0)
        attempts = 1 if further else (job.before.attempts or 0) + 1
        job.record.attempts = attempts
        if attempts >= MAX_ATTEMPTS:
            self.fail(job, f"node_lost: its worker process died {attempts} times, perhaps for want of memory")
        else:
            self.release(job)

    def _tried_alone(self, job: ActiveTrial, reason: str) -> bool:
        """Whether the trial ran out of memory that others beside it took, and so is tried again alone."""
        if kind(reason) != "oom" or len(self.live) == 1 or job.before.alone:
            return False
        job.record.alone = True
        self.release(job)
        self._loner = job.number
        return True

    def release(self, job: ActiveTrial) -> None:
        """Put the trial back in the queue as itself."""
        self.study._storage.set_trial_state_values(job.trial._trial_id, TrialState.WAITING)
        del self.live[job.number]

    def _end(self, job: ActiveTrial, state: TrialState, reason: str = "") -> None:
        value = float(job.epoch[self.space.metric]) if state == TrialState.COMPLETE else None
        if state != TrialState.FAIL and job.before.error:  # the driver died when it was about to fail
            job.record.error = None
        with blamed("sampler"):
            told = self.study.tell(job.trial, value, state=state, skip_if_finished=True)
        if told.state != state:  # by hand, an instant ago, or as COMPLETE
            state, reason, value = told.state, BY_HAND, told.value
        self.counts[state] += 1
        self._failed_in_row = self._failed_in_row if state == TrialState.FAIL else 0
        self._loner = None if self._loner == job.number else self._loner
        if value is not None:
            self.keeping.follow(value, job.number)  # what sweeps up meanwhile spares the live and the leader
        del self.live[job.number]
        if state in _TOLD:
            self.limits.ended(job.number, value)
        self.keeping.sweep({job.number})
        self.audience.end(job, state, reason)

    def catch_up(self) -> None:
        """Tell the listeners of trials that ended. Engines call it when no worker waits for the driver."""
        self.audience.catch_up()
