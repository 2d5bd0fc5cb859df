"""Trials side by side through Ray Tune: three thin adapters, and Ray's own noise kept away.

Ray's ``OptunaSearch`` is not used: it tells stopped trials as COMPLETE, drops their last report and leaves
RUNNING trials behind. cluster.py starts Ray.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from search.engine.ray import cluster, nodes, patches, quick_imports, watchdog
from search.format import plural

with quick_imports():
    import ray
    from ray import tune
    from ray.exceptions import RayError
    from ray.tune import CheckpointConfig, RunConfig, TuneConfig
    from ray.tune.error import TuneError
    from ray.tune.execution import class_cache

from search.engine.base import ClusterLost, EngineFailed, share
from search.engine.driver import Driver
from search.engine.messages import WorkerConfig
from search.engine.processes.forkserver import Call, ForkServer
from search.engine.processes.places import Resources, plan, side_by_side, without_gpu
from search.engine.processes.signals import handled
from search.engine.ray.adapters import Asks, Broken, Quiet, Reports
from search.engine.ray.closing import Closing
from search.engine.ray.comings import Comings
from search.engine.ray.lanes import Backlog, Lanes
from search.engine.ray.trainable import WarmWorker
from search.engine.trial import ActiveTrial


@contextmanager
def started(
    fork_server: ForkServer, workplace: WorkerConfig, cpus: float | None, gpus: float | None, verbose: bool = False
) -> Iterator[Tune]:
    """A private Ray on this machine, with its files beside the fork server's.

    `cpus` and `gpus` are a trial's, None for their defaults. Raises SearchError if not even one fits, EngineFailed.
    """
    with cluster.running(fork_server.folder, verbose):
        engine = Tune(fork_server, workplace, Resources(0, 0), 0, verbose)
        yield engine._mended(partial(engine.placed, cpus, gpus))


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
    if not patches.node_here():  # Ray looks for one for a minute, without a word
        there.say("this machine has no node of a Ray cluster yet, and a driver needs one; waiting for `ray start` here")
    with nodes.borrowed(address, fork_server.folder, space, there.verbose) as there.files:
        there.wait_for_workers()
        engine = Tune(fork_server, workplace, Resources(0, 0), 0, there.verbose, there).placed(cpus, gpus)
        there.resources = engine.resources
        with there.reached():
            there.slots()
            there.wait_for_checks()
            yield engine


RESTARTS = 3
"""So often in a row, with no trial ended in between, Ray is started anew in one run."""


_STRANGER = "a program without this Ray's token has crashed it (see Security on the page about reliability)"


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
        where = f"{gpus:g} GPU a trial" if gpus else without_gpu(len(os.sched_getaffinity(0)))
        if self.nodes is not None:
            where = f"{f'{gpus:g} GPU a trial' if gpus else 'no GPU'}, {plural(len(self.nodes), 'node')} of a cluster"
        return side_by_side(where, self.slots, self.workplace.threads)

    def placed(self, cpus: float | None, gpus: float | None) -> Tune:
        """This engine with trials that take so much, None for the defaults. Raises SearchError if not one fits."""
        where = "this machine has" if self.nodes is None else "the nodes of the cluster have"
        resources, slots, threads = plan(nodes.there(), cpus, gpus, where)
        device = "cuda" if resources.gpus else "cpu"
        ranks = max(1, int(resources.gpus)) if self.workplace.own_train is None else 1
        workplace = replace(self.workplace, device=device, threads=threads, gpus=resources.gpus, ranks=ranks)
        return replace(self, workplace=workplace, resources=resources, slots=slots)

    def _mended(self, work: Callable[[], Tune]) -> Tune:
        """What `work` returns, which is called again with a new Ray if one of Ray's servers dies meanwhile."""
        for _ in range(RESTARTS):
            with watchdog.watched() as dead:
                try:
                    return work()
                except KeyboardInterrupt:
                    if not dead:
                        raise
            cluster.restart(self.fork_server.folder, self.verbose)
        return work()

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
        return Call(self.fork_server.address, function, *args).result()

    def run(self, driver: Driver) -> None:
        """Run the driver's trials to their ends, with a new Ray where one breaks down.

        Raises whatever the driver raised, EngineFailed if Ray breaks down again and again.
        """
        with patches.groups_given_up():
            self._run(driver)

    def _run(self, driver: Driver) -> None:
        ended, in_row, broken, by_strangers = -1, 0, False, 0
        while True:
            try:
                if broken:
                    cluster.restart(self.fork_server.folder, self.verbose)
                return self._fit(driver)
            except EngineFailed as error:
                if self.nodes is not None:  # it is not ours to start anew
                    raise
                broken = True
                if cluster.crashed_by_a_stranger(self.fork_server.folder):
                    by_strangers += 1
                    if by_strangers == 1:
                        driver.run.say(f"{_STRANGER}; its trials go on in a new one, each time that this happens")
                    driver.orphaned(blamed=False)
                    continue
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
        active: dict[str, ActiveTrial] = {}
        forks, slots = None if self.nodes else self.fork_server, lambda: self.slots
        comings = self.nodes.comings if self.nodes else Comings(driver.run.say)
        if self.nodes is not None:
            slots, self.nodes.load = self.nodes.slots, lambda: (len(active), driver.left)
            self.nodes.say, self.nodes.last_words = driver.run.say, driver.run.last_words
        place = {"workplace": self.workplace, "fork_server": forks.address if forks else ""}
        lanes = Lanes(slots, int(ray.cluster_resources().get("CPU", 1)))
        closing, backlog = Closing(self.workplace.own_train is not None, driver.closed), Backlog()
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(self.slots)  # else one worker starts after another
        tuner = self._tuner(
            Asks(driver, place, active, lanes, closing, comings, backlog),
            Reports(driver, active, self.workplace.patience, forks, lanes, closing, comings, backlog),
        )
        # Tune hands these to its actors as a runtime_env, and Ray then starts new workers for them.
        class_cache.DEFAULT_ENV_VARS.clear()
        class_cache.ENV_VARS_TO_PROPAGATE.clear()
        try:
            unheard = handled(signal.SIG_IGN, signal.SIGUSR1)  # which Tune takes and keeps
            with self._watched() as dead, unheard, patches.workers_kept():
                tuner.fit()
        except Broken as broken:
            raise broken.cause from broken.cause.__cause__  # not from Tune
        except KeyboardInterrupt:
            if not dead or driver.run.signalled:
                raise
            if self.nodes is not None:
                dead.noted = True
                raise ClusterLost(dead[0]) from None
            raise EngineFailed(f"Ray's {' and '.join(dead)} died") from None
        except (TuneError, RayError, RuntimeError) as error:
            known = nodes.of_ray(error)
            if known is None:
                raise
            raise EngineFailed(f"Ray Tune gave up: {nodes.reason(known)}") from error

    def _tuner(self, asks: Asks, reports: Reports) -> tune.Tuner:
        trainable = tune.with_resources(WarmWorker, {"cpu": self.resources.cpus, "gpu": self.resources.gpus})
        return tune.Tuner(
            trainable,
            tune_config=TuneConfig(
                search_alg=asks,
                scheduler=reports,
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=RunConfig(
                name="tune",
                storage_path=str(self.fork_server.folder),
                checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
                progress_reporter=Quiet(),
                verbose=0,
            ),
        )

    def _watched(self) -> AbstractContextManager[watchdog.Found]:
        """A watch on Ray's servers; on those of a cluster there is one already, for the whole run."""
        return watchdog.watched() if self.nodes is None else nullcontext(self.nodes.lost)
