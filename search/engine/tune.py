"""Trials side by side through Ray Tune: three thin adapters, and Ray's own noise kept away.

Ray's ``OptunaSearch`` is not used: it tells stopped trials as COMPLETE, drops their last report and leaves
RUNNING trials behind. This is the only module that imports ray.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from typing import Any
from unittest.mock import patch

# Read by Ray when it is imported, or by the processes that it starts.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # weights="some/file.pth" means the same in a worker
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # with it, Ray listens on loopback only
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours: it puts trials back in the queue
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # the storage is the record; Tune is never asked to restore
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "1",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    "RAY_preload_python_modules": "search.engine.tune",
    "RAY_idle_worker_killing_time_threshold_ms": "60000",  # the workers it starts with are those that Tune will want
}
os.environ.update({name: value for name, value in _ENVIRONMENT.items() if name not in os.environ})

gc.disable()  # it takes a sixth of the import's time
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of Ray's dependencies
    import ray
    from ray import tune
    from ray._private.node import Node
    from ray.exceptions import RayError
    from ray.tune import CheckpointConfig, RunConfig, TuneConfig
    from ray.tune.error import TuneError
    from ray.tune.execution import class_cache
    from ray.tune.schedulers import FIFOScheduler, TrialScheduler
    from ray.tune.search import Searcher
gc.enable()

from search.engine.driver import Driver, EngineFailed, Job, OutOfTime
from search.engine.nursery import Call, Nursery, fork
from search.engine.scratch import held_back, uninterrupted
from search.engine.worker import Workplace
from search.errors import SearchError


@dataclass(frozen=True)
class Resources:
    """What one trial takes: CPUs (whole, or a fraction) and GPUs (a fraction shares one)."""

    cpus: float
    gpus: float


@contextmanager
def started(
    nursery: Nursery, workplace: Workplace, cpus: float | None, gpus: float | None, verbose: bool = False
) -> Iterator[Tune]:
    """A Ray of our own on this machine, on loopback, with its files beside the nursery's.

    `cpus` and `gpus` are a trial's, None for their defaults. Raises SearchError if not even one fits, EngineFailed.
    """
    level = logging.INFO if verbose else logging.CRITICAL
    try:
        try:
            with held_back(), _few_processes(verbose):
                ray.init(
                    address="local",
                    include_dashboard=False,
                    log_to_driver=verbose,
                    logging_level=level,
                    object_store_memory=100 * 2**20,  # nothing large goes through it
                    _temp_dir=str(nursery.folder),
                )
        except Exception as error:  # of many kinds, from a full disk to a port that is taken
            raise EngineFailed(f"Ray did not start: {str(error).strip().splitlines()[-1]}") from error
        for name in ("ray", "ray.tune"):
            logging.getLogger(name).setLevel(level)
        yield Tune(nursery, workplace, Resources(0, 0), 0).placed(cpus, gpus)
    finally:
        with uninterrupted():
            ray.shutdown()


@contextmanager
def _few_processes(verbose: bool) -> Iterator[None]:
    """Ray without its dashboard, its autoscaler and, where nobody reads logs, their monitor.

    They serve a cluster that many use; here they are three processes that cost two seconds before the first trial.
    A Ray that has no such methods starts as it does.
    """
    spared = ["start_api_server", "start_monitor", *([] if verbose else ["start_log_monitor"])]
    with ExitStack() as stack:
        for name in spared:
            if hasattr(Node, name):
                stack.enter_context(patch.object(Node, name, _nothing))
        stack.enter_context(patch("ray._private.utils.set_sigterm_handler"))  # SIGTERM is ours
        yield


def _nothing(node: Node, **options: Any) -> None:
    node._webui_url = ""


def plan(cpus: float | None = None, gpus: float | None = None) -> tuple[Resources, int, int]:
    """What one trial takes, how many run at a time, and the CPU threads of each: its share of the cores.

    By default a trial takes one GPU and its share of the CPUs; without a GPU, one CPU, whatever `gpus` says.
    Raises SearchError if not even one fits.
    """
    there = ray.cluster_resources()
    all_cpus, all_gpus = there.get("CPU", 0.0), there.get("GPU", 0.0)
    gpus = 0.0 if not all_gpus else 1.0 if gpus is None else gpus
    if cpus is None:
        cpus = max(1.0, all_cpus * gpus // all_gpus) if gpus else 1.0
    asked = [(all_cpus, cpus), (all_gpus, gpus)]
    slots = min((_fits(has, wants) for has, wants in asked if wants), default=0)
    if slots < 1:
        raise SearchError(
            f"a trial asks for {cpus:g} CPUs and {gpus:g} GPUs, and this machine has {all_cpus:g} and {all_gpus:g}: "
            "--cpus-per-trial, --gpus-per-trial"
        )
    return Resources(cpus, gpus), slots, max(1, int(all_cpus // slots))


def _fits(has: float, wants: float) -> int:
    """How many trials that want so much of a resource it is enough for; none has parts of two GPUs."""
    return int(has) * int(1 // wants) if wants < 1 else int(has // wants)


TRAINING = "search.engine.worker:serve"


class WarmWorker(tune.Trainable):
    """Stands in Ray for a training process, kept from trial to trial, and hands its messages on."""

    def setup(self, config: dict[str, Any]) -> None:
        self._connection: Connection | None = None
        self._pid: int | None = None
        self._asked = False
        self._patience: float | None = config["workplace"]["patience"]
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if self._connection is None:
            self._connection = fork(new_config["nursery"], TRAINING, Workplace(**new_config["workplace"]), _placed())
        elif self._asked:
            self._answer(self._connection)  # of a trial that nobody waits for
        # It begins at once: until Tune asks for its first epoch, other trials may keep Tune busy.
        self._connection.send((new_config["settings"], new_config["keep"]))
        self._asked = True
        return True

    def step(self) -> dict[str, Any]:
        assert self._connection is not None
        try:
            if not self._asked:
                self._connection.send(None)
            self._asked = False
            message = self._answer(self._connection)
        except (EOFError, OSError) as error:  # TimeoutError is one
            message = {"silent": self._patience} if isinstance(error, TimeoutError) else {"lost": True}
            if "silent" in message and self._pid:  # it may hang or be stopped, and never see that nobody listens
                with suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
            self._connection.close()
            self._connection = self._pid = None  # the next trial gets a new process
        return {"message": [message]}  # in a list, because Tune flattens dicts

    def _answer(self, connection: Connection) -> Any:
        """The worker's next message; its first is its process's number. Raises EOFError or OSError if none comes."""
        if self._pid is None:
            self._pid = self._message(connection)
        return self._message(connection)

    def _message(self, connection: Connection) -> Any:
        if not connection.poll(self._patience):
            raise TimeoutError
        return connection.recv()


def _placed() -> dict[str, str]:
    """What Ray gave this worker: its GPUs and its threads."""
    names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
    return {name: os.environ[name] for name in names if name in os.environ}


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
    """Asks the driver for the next trial, and tells it of workers that died."""

    def __init__(self, driver: Driver, place: dict[str, Any], jobs: dict[str, Job], slots: int) -> None:
        super().__init__(metric=None, mode=None)
        self._driver, self._jobs, self._slots, self._place = driver, jobs, slots, place

    def suggest(self, trial_id: str) -> Any:
        if self._driver.out_of_time:
            raise OutOfTime
        # Ask late: the sampler then knows more, and the storage shows no waiting trial as RUNNING.
        if len(self._jobs) >= self._slots:
            return None
        with _ours():
            job = self._driver.next()
        if job is None:
            return Searcher.FINISHED if self._driver.finished else None
        self._jobs[trial_id] = job
        return {"settings": job.settings, "keep": job.keep, **self._place}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        job = self._jobs.pop(trial_id, None)
        if error and job is not None and job.number in self._driver.live:
            with _ours():
                self._driver.lost(job)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the storage is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: Tune is never asked to restore."""


class _Reports(_NotSaved, FIFOScheduler):
    """Reports each epoch to the driver, which decides whether the trial goes on."""

    def __init__(self, driver: Driver, jobs: dict[str, Job]) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # ray has no types
        self._driver, self._jobs = driver, jobs

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        with _ours():
            goes_on = self._driver.receive(self._jobs[trial.trial_id], result["message"][0])
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        # FIFO's own looks at every trial that ever ran.
        return next((trial for trial in tune_controller.get_live_trials() if trial.status == trial.PENDING), None)


@dataclass(frozen=True)
class Tune:
    """Ray Tune as an engine: `slots` trials at a time, in processes of the `nursery`."""

    nursery: Nursery
    workplace: Workplace
    resources: Resources
    slots: int

    @property
    def note(self) -> str:
        gpus = self.resources.gpus
        where = f"{gpus:g} GPU a trial" if gpus else f"no GPU: training on {len(os.sched_getaffinity(0))} CPU cores"
        return f"{where}, {self.slots} trials side by side, CPU threads of each: {self.workplace.threads}"

    def placed(self, cpus: float | None, gpus: float | None) -> Tune:
        """This engine with trials that take so much, None for the defaults. Raises SearchError if not one fits."""
        resources, slots, threads = plan(cpus, gpus)
        device = "cuda" if resources.gpus else "cpu"
        workplace = replace(self.workplace, device=device, threads=threads, gpus=resources.gpus)
        return replace(self, workplace=workplace, resources=resources, slots=slots)

    def shared(self, cpus: float | None, trials: int) -> Tune:
        """This engine with so many trials on each GPU; Ray counts in ten-thousandths, and rounds."""
        return self.placed(cpus, 10_000 // trials / 10_000)

    @property
    def cpus_a_gpu(self) -> float:
        """A GPU's share of the CPUs; 0 where there is no GPU."""
        there = ray.cluster_resources()
        return float(there.get("CPU", 0.0) / there["GPU"]) if there.get("GPU") else 0.0

    def call(self, function: str, *args: Any) -> Any:
        """What the training side's `function`, named as module:function, returns for `args` and one more, ignored.

        Raises what it raised, or Died.
        """
        return Call(self.nursery.address, function, *args).result(lambda *progress: None)

    def run(self, driver: Driver) -> None:
        """Run the driver's trials to their ends.

        Raises whatever the driver raised, EngineFailed if Tune itself gave up.
        """
        jobs: dict[str, Job] = {}
        place = {"workplace": asdict(self.workplace), "nursery": self.nursery.address}
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(self.slots)  # else one worker starts after another
        trainable = tune.with_resources(WarmWorker, {"cpu": self.resources.cpus, "gpu": self.resources.gpus})
        tuner = tune.Tuner(
            trainable,
            tune_config=TuneConfig(
                search_alg=_Asks(driver, place, jobs, self.slots),
                scheduler=_Reports(driver, jobs),
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=RunConfig(
                name="tune",
                storage_path=str(self.nursery.folder),
                checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
        class_cache.DEFAULT_ENV_VARS.clear()
        class_cache.ENV_VARS_TO_PROPAGATE.clear()
        try:
            tuner.fit()
        except _Broken as broken:
            raise broken.cause from None
        except (TuneError, RayError) as error:
            raise EngineFailed(f"Ray Tune gave up: {str(error).strip().splitlines()[-1]}") from error
