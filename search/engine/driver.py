"""The study's side of a run, the same for every engine: ask, report, prune, tell."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from optuna.exceptions import TrialPruned, UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import TrialState

from search.config import make_config
from search.engine.callbacks import Callback, Callbacks
from search.engine.failures import RunAborted, check_sense, closing, deaths, kind
from search.engine.failures import reason as why
from search.engine.messages import Ended, Failed, Lost, Message, Pruned, Report, Silent, Sized
from search.engine.retention import Retention
from search.engine.rules import Rules, Run
from search.engine.supply import Supply
from search.engine.trial import ActiveTrial, Lengths, measured
from search.errors import first_line, option
from search.space.file import SpaceFile
from search.space.values import plain
from search.study.attributes import BY_HAND, feasible, value_of
from search.study.data import Sizes, made_with
from search.study.ending.stopping import TOLD
from search.study.pruner import audited, is_rung, should_prune
from search.study.storage import internals
from search.study.storage.rdb import record, together
from search.study.supply import tell

MAX_ATTEMPTS = 3
"""A trial whose worker died so often in a row, with no epoch more than before, is FAIL."""


class Driver:
    """Asks the study for trials, writes their epochs to it, and decides who goes on.

    Only the process of the driver writes to the storage; workers send it messages.
    """

    def __init__(
        self, study: Study, space: SpaceFile, rules: Rules, callbacks: Sequence[Callback] = (), run: Run | None = None
    ) -> None:
        self.study = study
        self.space = space
        self.rules, self.run = rules, run or Run()
        self.trials, self.stopping = rules.trials, rules.stopping
        self.callbacks = Callbacks(callbacks, self.run.say)
        self.retention = Retention(study, space.metric, space.train is None, rules.keeps, rules.run_dir)
        self._supply = Supply(study, rules.stopping, space.path)
        self._sizes = Sizes(study, space)
        self._lengths = Lengths(space.train is not None, self.run.say)
        self._made_with = made_with(study)
        self._failed_in_row = self._attempts = 0
        self._loner: int | None = None
        """A trial that ran out of memory beside others, and is tried again without them."""
        self.live: dict[int, ActiveTrial] = {}
        trials_so_far = study.get_trials(deepcopy=False)
        done = [trial for trial in trials_so_far if trial.state.is_finished()]
        self.counts, self.at_start = Counter(trial.state for trial in done), len(done)
        self.retention.begin(done, self.live)
        self.stopping.count_in(trials_so_far, space.metric)

    @property
    def over(self) -> bool:
        """Whether a limit is reached at which the trials that run go back in the queue.

        A trial with nothing but its end to come is waited for.
        """
        reached = self.stopping.reached()
        if reached is None or not reached.at_once or any(map(self._lengths.at_end, self.live.values())):
            return False
        return bool(self.live) or self.left > 0

    @property
    def finished(self) -> bool:
        """Whether nothing runs and no more trials are wanted."""
        return not self.live and not self._wants_more()

    @property
    def left(self) -> int:
        """How many trials have yet to start."""
        return max(0, self.trials - self.counts.total() - len(self.live))

    def _wants_more(self) -> bool:
        return self.left > 0 and self._supply.more((self.counts.total(), len(self.live)))

    def next(self) -> ActiveTrial | None:
        """The next trial to run: an interrupted one, a queued one, or the sampler's; None if no more are wanted."""
        self._heed_signals()
        while self._wants_more() and not (self._loner is not None and self.live):
            with self._supply.asked("sampler"):
                trial = self.study.ask()  # the loner, if there is one: a queue gives the lowest number first
            self._attempts += 1
            job = ActiveTrial(trial, {}, copy.deepcopy(internals.known(trial)), attempt=self._attempts)
            job.audited, job.cost = job.before.audited is not None, job.before.cost
            self.live[job.number] = job
            if not self._suggest(job):
                continue
            job.keep, job.checkpoints = self.retention.keep(job.number), self.retention.checkpoints(job.number)
            job.output = self.retention.output(job.number)
            return job
        return None

    def _suggest(self, job: ActiveTrial) -> bool:
        """Draw the trial's settings; returns whether it can run. Otherwise it has ended."""
        try:
            with together(job.trial):
                job.settings = self._supply.settings(self.space, job.trial)
                if self.space.train is None:
                    job.settings = make_config(job.settings).model_dump(mode="json")
                if job.before.config is None:
                    job.record.config = plain(job.settings)
        except UpdateFinishedTrialError:
            self._end(job, TrialState.FAIL, BY_HAND)
        except TrialPruned as pruned:
            self._prune(job, first_line(pruned))
        except RunAborted:  # of the sampler
            raise
        except (Exception, SystemExit) as error:  # the user's space(trial), or a point that is no config
            self.fail(job, why(error))
        else:
            return self._fits(job)
        return False

    def _fits(self, job: ActiveTrial) -> bool:
        """Whether the trial meets the limits, as far as its size is known. Otherwise it has ended."""
        size = self._sizes.of(job.settings)
        job.size, job.measure = size or {}, self._sizes.costs if size is None else ()
        if said := self._sizes.excess(job.size):
            job.record.config = plain(job.settings)
            job.record.refused = said
            self._end(job, TrialState.PRUNED, f"refused before it trains: {said}")
        return not said

    def _heed_signals(self) -> None:
        if self.run.signalled:  # the KeyboardInterrupt was lost, in compiled code or while a module was imported
            raise KeyboardInterrupt
        self.run.ours()

    def receive(self, job: ActiveTrial, message: Message) -> bool:
        """Take in what the worker sent; whether the trial goes on.

        A late message, of an attempt that was given up, changes nothing: the trial has ended or runs elsewhere. If
        somebody has ended the trial in the dashboard, the storage refuses to write to it, and the driver learns of it.
        """
        self._heed_signals()
        self.callbacks.keep_up()
        if self.live.get(job.number) is not job or message.attempt != job.attempt:
            return False
        try:
            return self._take(job, message)
        except UpdateFinishedTrialError:
            self._end(job, TrialState.FAIL, BY_HAND)
            return False

    def _take(self, job: ActiveTrial, message: Message) -> bool:
        match message:
            case Report():
                return self._report(job, message)
            case Sized(size=size):
                self._sizes.learn(job.settings, size)
                return self._fits(job)
            case Ended():
                self._lengths.ended(job)
                self._complete(job)
            case Pruned(reason=reason):
                self._prune(job, reason)
            case Lost(how=how, blamed=blamed):
                self._lost(job, how) if blamed else self.release(job)
            case Silent(seconds=seconds):
                self.fail(job, f"timeout: no epoch within {seconds:g} s ({option('trial_timeout')})")
            case Failed(reason=reason) if not self._tried_alone(job, reason):
                self.fail(job, reason)
        return False

    def _report(self, job: ActiveTrial, report: Report) -> bool:
        first = job.last.step == 0
        spent = (job.before.epoch if first else job.last.epoch).get("machine_seconds", 0.0)
        job.last = replace(report, epoch={**report.epoch, "machine_seconds": spent + report.epoch["seconds"]})
        values = job.other(self._made_with) or measured(report, self.space.goals, job.size)
        if isinstance(values, str):
            self.fail(job, values)
            return False
        self._store(job, first, values)
        self.callbacks.epoch(job)
        if report.last:
            self._complete(job)
            return False
        if self._lengths.reached(job):
            return True
        # The last of the replayed is decided again: the crash may have come between its report and its decision.
        if report.step >= max(job.known.intermediate_values, default=0) and self._stopped(job):
            self._end(job, TrialState.PRUNED)
            return False
        return True

    def _store(self, job: ActiveTrial, first: bool, values: list[float]) -> None:
        """Write the trial's last epoch to the storage, before the decision: a pruned trial's curve holds it, too."""
        report, new = job.last, job.kept(first)
        if self.space.further and is_rung(self.study.pruner, report.step):
            new.rungs = job.rungs = {**job.before.rungs, **job.rungs, str(report.step): values}
        self.stopping.spend(job.number, report.epoch["machine_seconds"], job.cost)
        replayed = report.step in job.known.intermediate_values
        record(job.trial, new.stored, report.step, None if replayed else values[0])

    def _stopped(self, job: ActiveTrial) -> bool:
        """Whether the pruner stops the trial here. A trial of the audit goes on, and the pruner is not asked again."""
        if job.audited:
            return False
        with self._supply.asked("pruner"):
            if not should_prune(self.study, job.trial):
                return False
        job.audited = audited(self.study.study_name, job.number, self.rules.audit)
        if job.audited:
            job.record.audited = job.last.step
        return not job.audited

    def _complete(self, job: ActiveTrial) -> None:
        if job.last.step == 0:
            self.fail(job, "user_code: train() yielded nothing")
            return
        self._end(job, TrialState.COMPLETE)

    def _prune(self, job: ActiveTrial, reason: str) -> None:
        """The user's own code raised TrialPruned."""
        job.record.pruned = reason
        self._end(job, TrialState.PRUNED, reason)

    def fail(self, job: ActiveTrial, reason: str) -> None:
        """Mark the trial FAIL, with its reason, which begins with one of failures.CLASSES. Raises RunAborted."""
        job.record.error = reason
        self._end(job, TrialState.FAIL, reason)
        self._failed_in_row += kind(reason) != "diverged"
        check_sense(reason, self.counts.total(), self._failed_in_row, self.rules.max_failures)

    def closed(self, number: int, raised: str) -> None:
        """The training of an ended trial is closed; `raised`: what its code raised meanwhile, or nothing."""
        if raised:
            self.run.say(closing(number, raised))

    def orphaned(self, blamed: bool = True) -> None:
        """The engine broke down, and all that ran with it. `blamed`: it counts as an attempt of each trial."""
        for job in list(self.live.values()):
            self.receive(job, Lost(job.attempt, blamed=blamed))

    def _lost(self, job: ActiveTrial, how: str) -> None:
        """The worker died: back in the queue, unless that happened too often in a row without a new epoch."""
        further = job.last.step > max(job.known.intermediate_values, default=0)
        attempts = 1 if further else (job.before.attempts or 0) + 1
        job.record.attempts = attempts
        if attempts >= MAX_ATTEMPTS:
            self.fail(job, deaths(attempts, how))
        else:
            self.release(job)

    def _tried_alone(self, job: ActiveTrial, reason: str) -> bool:
        """Put a trial that ran out of memory beside others back, to run alone; whether it did so."""
        if kind(reason) != "oom" or len(self.live) == 1 or job.before.alone:
            return False
        job.record.alone = True
        self.release(job)
        self._loner = job.number
        return True

    def release(self, job: ActiveTrial) -> None:
        """Put the trial back in the queue as itself."""
        internals.requeue(self.study, job.trial)
        del self.live[job.number]

    def _end(self, job: ActiveTrial, state: TrialState, reason: str = "") -> None:
        values = [float(job.reached(name)) for name in self.space.goals] if state == TrialState.COMPLETE else None
        if state != TrialState.FAIL and job.before.error:  # the driver died when it was about to fail
            job.record.error = None
        with self._supply.asked("sampler"):
            told = tell(self.study, job.trial, values, state)
        if told.state != state:  # by hand, an instant ago, or as COMPLETE
            state, reason = told.state, BY_HAND
        self.counts[state] += 1
        self._failed_in_row = self._failed_in_row if state == TrialState.FAIL else 0
        self._loner = None if self._loner == job.number else self._loner
        job.feasible = feasible(told)
        value = value_of(told) if state == TrialState.COMPLETE and job.feasible else None
        if state == TrialState.COMPLETE and job.feasible:
            self.retention.follow(told)  # what sweeps up meanwhile spares the live and the leaders
        del self.live[job.number]
        if state in TOLD:
            self.stopping.ended(job.number, value, told)
        self.retention.sweep({job.number})
        self.callbacks.end(job, state, reason)
        for callback in self.space.callbacks:
            with self._supply.asked("callback", callback):
                callback(self.study, told)

    def catch_up(self) -> None:
        """Tell the callbacks of trials that ended. Engines call it when no worker waits for the driver."""
        self.callbacks.catch_up()
