"""Trials side by side through Ray Tune: three thin adapters, and Ray's own noise kept away.

Ray's ``OptunaSearch`` is not used: it tells stopped trials as COMPLETE, drops their last report and leaves
RUNNING trials behind. cluster.py starts Ray.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search.engine.ray import cluster, nodes, quick_imports, watchdog
from search.engine.ray.cluster import Resources, plan

with quick_imports():
    import ray
    from ray import tune
    from ray.exceptions import RayError
    from ray.tune import CheckpointConfig, RunConfig, TuneConfig
    from ray.tune.error import TuneError
    from ray.tune.execution import class_cache
    from ray.tune.schedulers import FIFOScheduler, TrialScheduler
    from ray.tune.search import Searcher

from search.engine.base import EngineFailed, LimitReached, share
from search.engine.driver import Driver
from search.engine.failures import RunAborted
from search.engine.messages import Lost, Silent
from search.engine.processes.forkserver import Call, ForkServer
from search.engine.ray.stall import Stall
from search.engine.ray.trainable import WarmWorker
from search.engine.trial import ActiveTrial
from search.engine.worker import WorkerConfig


@contextmanager
def started(
    fork_server: ForkServer, workplace: WorkerConfig, cpus: float | None, gpus: float | None, verbose: bool = False
) -> Iterator[Tune]:
    """A private Ray on this machine, with its files beside the fork server's.

    `cpus` and `gpus` are a trial's, None for their defaults. Raises SearchError if not even one fits, EngineFailed.
    """
    with cluster.running(fork_server.folder, verbose):
        yield Tune(fork_server, workplace, Resources(0, 0), 0, verbose).placed(cpus, gpus)


@contextmanager
def joined(
    address: str,
    fork_server: ForkServer,
    workplace: WorkerConfig,
    cpus: float | None,
    gpus: float | None,
    there: nodes.Nodes,
    space: Path | None,
) -> Iterator[Tune]:
    """The Ray at `address`, which others started, with the nodes that are `there` checked.

    `space`: the file whose folder travels to them. Raises SearchError if not even one trial fits on one of them, or one
    of them lacks what it needs.
    """
    with nodes.borrowed(address, fork_server.folder, space, there.verbose):
        engine = Tune(fork_server, workplace, Resources(0, 0), 0, there.verbose, there).placed(cpus, gpus)
        there.resources = engine.resources
        there.slots()
        there.wait_for_checks()
        yield engine


RESTARTS = 3
"""So often in a row, with no trial ended in between, Ray is started anew in one run."""


class _Broken(BaseException):
    """Carries an error of the driver's out of Tune, which would turn an Exception into text."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


@contextmanager
def _ours() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise _Broken(error) from error


class _NotSaved:
    """Tune pickles its searcher and scheduler into snapshots that nobody reads: these leave nothing there."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Asks(_NotSaved, Searcher):
    """Asks the driver for the next trial, and reports workers that died."""

    def __init__(
        self, driver: Driver, place: dict[str, Any], jobs: dict[str, ActiveTrial], slots: Callable[[], int]
    ) -> None:
        super().__init__(metric=None, mode=None)
        self._driver, self._jobs, self._slots, self._place = driver, jobs, slots, place
        self._just_asked = False

    def suggest(self, trial_id: str) -> Any:
        if self._driver.over:
            raise LimitReached
        # Ask late: the sampler then knows more, and the storage shows no waiting trial as RUNNING.
        with _ours():
            job = self._driver.next() if len(self._jobs) < self._slots() else None
            if job is None and not self._just_asked:  # else Tune has yet to send it to a worker
                self._driver.catch_up()
        self._just_asked = job is not None
        if job is None:
            return Searcher.FINISHED if self._driver.finished else None
        self._jobs[trial_id] = job
        return {"order": job.order, **self._place}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        job = self._jobs.pop(trial_id, None)
        if error and job is not None:
            with _ours():
                self._driver.receive(job, Lost(job.attempt))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the storage is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: Tune is never asked to restore."""


class _Reports(_NotSaved, FIFOScheduler):
    """Reports each epoch to the driver, which decides whether the trial goes on."""

    def __init__(
        self, driver: Driver, jobs: dict[str, ActiveTrial], patience: float | None, fork_server: ForkServer | None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # ray has no types
        self._driver, self._jobs, self._fork_server = driver, jobs, fork_server
        self._patience, self._stall = math.inf if patience is None else patience, Stall(patience)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        self._stall.heard(trial.trial_id)
        with _ours():
            goes_on = self._driver.receive(self._jobs[trial.trial_id], result["message"])
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def _give_up(self, trials: Collection[Any]) -> None:
        """Fail the trials of silent workers, and kill these: a stopped process never ends by itself."""
        at_work = {trial.trial_id: trial.temporary_state.ray_actor for trial in trials}
        at_work = {name: actor for name, actor in at_work.items() if actor is not None and name in self._jobs}
        for name in self._stall.overdue(at_work):
            job = self._jobs[name]
            with _ours():
                self._driver.receive(job, Silent(job.attempt, self._patience))
            self._stall.heard(name)
            ray.kill(at_work[name])

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        if self._fork_server is not None and self._fork_server.gone:
            with _ours():
                raise RunAborted(self._fork_server.gone)
        self._give_up(tune_controller.get_live_trials())
        # FIFO's own looks at every trial that ever ran.
        return next((trial for trial in tune_controller.get_live_trials() if trial.status == trial.PENDING), None)


@dataclass(frozen=True)
class Tune:
    """Ray Tune as an engine: `slots` trials at a time, in processes of the `fork_server`."""

    fork_server: ForkServer
    workplace: WorkerConfig
    resources: Resources
    slots: int
    verbose: bool = False
    nodes: nodes.Nodes | None = None
    """Of a Ray that others started; None: it is our own, and trains on this machine."""

    @property
    def note(self) -> str:
        gpus = self.resources.gpus
        where = f"{gpus:g} GPU a trial" if gpus else f"no GPU: training on {len(os.sched_getaffinity(0))} CPU cores"
        if self.nodes is not None:
            where = f"{f'{gpus:g} GPU a trial' if gpus else 'no GPU'}, {len(self.nodes)} nodes of a cluster"
        return f"{where}, {self.slots} trials side by side, CPU threads of each: {self.workplace.threads}"

    def placed(self, cpus: float | None, gpus: float | None) -> Tune:
        """This engine with trials that take so much, None for the defaults. Raises SearchError if not one fits."""
        resources, slots, threads = plan(cpus, gpus)
        device = "cuda" if resources.gpus else "cpu"
        workplace = replace(self.workplace, device=device, threads=threads, gpus=resources.gpus)
        return replace(self, workplace=workplace, resources=resources, slots=slots)

    def shared(self, cpus: float | None, trials: int) -> Tune:
        """This engine with so many trials on each GPU."""
        return self.placed(cpus, share(trials))

    @property
    def cpus_a_gpu(self) -> float:
        """A GPU's share of the CPUs; 0 where there is no GPU."""
        there = ray.cluster_resources()
        return float(there.get("CPU", 0.0) / there["GPU"]) if there.get("GPU") else 0.0

    def call(self, function: str, *args: Any) -> Any:
        """What the training side's `function`, named as module:function, returns for `args` and one more, ignored.

        Raises what it raised, or Died.
        """
        if self.nodes is not None:
            return self.nodes.call(function, args)
        return Call(self.fork_server.address, function, *args).result(lambda *progress: None)

    def run(self, driver: Driver) -> None:
        """Run the driver's trials to their ends, with a new Ray where one breaks down.

        Raises whatever the driver raised, EngineFailed if Ray breaks down again and again.
        """
        ended, in_row = -1, 0
        while True:
            try:
                if in_row:
                    cluster.restart(self.fork_server.folder, self.verbose)
                return self._fit(driver)
            except EngineFailed as error:
                if self.nodes is not None:  # it is not ours to start anew
                    raise
                in_row = 1 if driver.counts.total() > ended else in_row + 1
                ended = driver.counts.total()
                if in_row > RESTARTS:
                    raise EngineFailed(
                        f"{error}; that was {in_row} times in a row without a trial that ended"
                    ) from error
                driver.run.say(f"{error}; its trials go on in a new one")
                driver.orphaned()

    def _fit(self, driver: Driver) -> None:
        """Run the driver's trials in the Ray that is there. Raises EngineFailed if it broke down."""
        jobs: dict[str, ActiveTrial] = {}
        there, slots = self.fork_server.address, lambda: self.slots
        if self.nodes is not None:
            there, slots = "", self.nodes.slots
            self.nodes.load = lambda: (len(jobs), driver.left)
        place = {"workplace": self.workplace, "fork_server": there}
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(self.slots)  # else one worker starts after another
        trainable = tune.with_resources(WarmWorker, {"cpu": self.resources.cpus, "gpu": self.resources.gpus})
        tuner = tune.Tuner(
            trainable,
            tune_config=TuneConfig(
                search_alg=_Asks(driver, place, jobs, slots),
                scheduler=_Reports(driver, jobs, self.workplace.patience, None if self.nodes else self.fork_server),
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=RunConfig(
                name="tune",
                storage_path=str(self.fork_server.folder),
                checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
        # Tune hands these to its actors as a runtime_env, and Ray then starts new workers for them.
        class_cache.DEFAULT_ENV_VARS.clear()
        class_cache.ENV_VARS_TO_PROPAGATE.clear()
        try:
            with watchdog.watched() as dead:
                tuner.fit()
        except _Broken as broken:
            raise broken.cause from broken.cause.__cause__  # not from Tune
        except KeyboardInterrupt:
            if not dead or driver.run.signalled:
                raise
            raise EngineFailed(f"Ray's {' and '.join(dead)} died") from None
        except (TuneError, RayError) as error:
            raise EngineFailed(f"Ray Tune gave up: {str(error).strip().splitlines()[-1]}") from error
