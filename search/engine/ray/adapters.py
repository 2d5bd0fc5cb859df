"""What Tune asks for its next trial, and what it tells of each result: both pass that on to the driver."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from search.engine.base import LimitReached
from search.engine.driver import Driver
from search.engine.failures import RunAborted
from search.engine.messages import Lost, Silent
from search.engine.processes.forkserver import ForkServer
from search.engine.ray import quick_imports
from search.engine.ray.closing import Closing
from search.engine.ray.comings import Comings
from search.engine.ray.lanes import Backlog, Lanes, Stall
from search.engine.trial import ActiveTrial

with quick_imports():
    import ray
    from ray.tune.progress_reporter import ProgressReporter
    from ray.tune.schedulers import FIFOScheduler, TrialScheduler
    from ray.tune.search import Searcher


class Broken(BaseException):
    """Carries an error of the driver's out of Tune, which would turn an Exception into text."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


@contextmanager
def _ours() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise Broken(error) from error


class Quiet(ProgressReporter):
    """Shows nothing: Tune's own reporter for notebooks clears the cell that it runs in."""

    def should_report(self, trials: list[Any], done: bool = False) -> bool:
        return False


class _NotSaved:
    """Tune pickles its searcher and scheduler into snapshots that nobody reads: these leave nothing there."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Asks(_NotSaved, Searcher):
    """Asks the driver for the next trial, and reports workers that died."""

    def __init__(
        self,
        driver: Driver,
        place: dict[str, Any],
        active: dict[str, ActiveTrial],
        lanes: Lanes,
        closing: Closing,
        comings: Comings,
        backlog: Backlog,
    ) -> None:
        super().__init__(metric=None, mode=None)
        self._driver, self._active, self._lanes, self._place = driver, active, lanes, place
        self._backlog = backlog
        self._closing, self._comings, self._just_asked = closing, comings, False

    def suggest(self, trial_id: str) -> Any:
        if self._driver.over:
            raise LimitReached
        if self._backlog.puts_off(len(self._active)):
            return None
        # Ask late: the sampler then knows more, and the storage shows no waiting trial as RUNNING.
        with _ours():
            ours = self._driver.next() if len(self._active) < self._lanes.open(len(self._active)) else None
            if ours is None and not self._just_asked:  # else Tune has yet to send it to a worker
                self._driver.catch_up()
        self._just_asked = ours is not None
        if ours is None:
            return Searcher.FINISHED if self._driver.finished and not self._closing.waits() else None
        self._active[trial_id] = ours
        self._lanes.asks(trial_id)
        # Ray's own processes have not loaded the space file, and pass the order on as it is.
        return {"order": ours.order.packed(), "attempt": ours.attempt, **self._place}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        ours = self._active.pop(trial_id, None)
        self._lanes.ended(trial_id)
        if error and ours is not None:
            self._comings.lost(ours.number)
            with _ours():
                self._driver.receive(ours, Lost(ours.attempt))
        elif ours is not None:
            self._comings.ended(ours.number)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the storage is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: Tune is never asked to restore."""


class Reports(_NotSaved, FIFOScheduler):
    """Reports each epoch to the driver, which decides whether the trial goes on."""

    def __init__(
        self,
        driver: Driver,
        active: dict[str, ActiveTrial],
        patience: float | None,
        fork_server: ForkServer | None,
        lanes: Lanes,
        closing: Closing,
        comings: Comings,
        backlog: Backlog,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # ray has no types
        self._driver, self._active, self._fork_server, self._closing = driver, active, fork_server, closing
        self._lanes, self._comings, self._backlog = lanes, comings, backlog
        self._chosen: set[str] = set()
        self._patience, self._stall = math.inf if patience is None else patience, Stall(patience)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        self._backlog.came()
        self._stall.heard(trial.trial_id)
        self._lanes.works(trial.trial_id)
        ours = self._active[trial.trial_id]
        self._comings.runs(ours.number, result["node"])
        with _ours():
            goes_on = self._driver.receive(ours, result["message"])
        if not goes_on:
            self._closing.begin(ours.number, result["message"], trial.temporary_state.ray_actor)
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def _give_up(self, trials: Collection[Any]) -> None:
        """Fail the trials of silent workers, and kill these: a stopped process never ends by itself."""
        at_work = {trial.trial_id: trial.temporary_state.ray_actor for trial in trials}
        at_work = {name: actor for name, actor in at_work.items() if actor is not None and name in self._active}
        for name in self._stall.overdue(at_work):
            ours = self._active[name]
            with _ours():
                self._driver.receive(ours, Silent(ours.attempt, self._patience))
            self._stall.heard(name)
            ray.kill(at_work[name])

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        if self._fork_server is not None and self._fork_server.gone:
            with _ours():
                raise RunAborted(self._fork_server.gone)
        live = tune_controller.get_live_trials()
        self._give_up(live)
        for trial in live:
            if trial.status == trial.RUNNING:
                self._lanes.works(trial.trial_id)
        self._closing.waits()
        with _ours():
            self._driver.callbacks.keep_up()  # while a worker starts, Tune asks for no further trial
            self._lanes.look()
        # FIFO's own looks at every trial that ever ran. A trial that is chosen again while its worker starts gets one
        # that has come free, and Tune ends the other.
        waiting = (trial for trial in live if trial.status == trial.PENDING)
        chosen = next((trial for trial in waiting if trial.trial_id not in self._chosen), None)
        if chosen is not None:
            self._chosen.add(chosen.trial_id)
        self._backlog.waits()
        return chosen
