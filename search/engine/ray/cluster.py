"""Ray itself: its environment, its start and its end, and what of the machine a trial gets."""

from __future__ import annotations

import gc
import logging
import os
import socket
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from search.entry_points import RAY_PRELOAD

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
    "RAY_preload_python_modules": RAY_PRELOAD,
    "RAY_idle_worker_killing_time_threshold_ms": "60000",  # the workers it starts with are those that Tune will want
}
os.environ.update({name: value for name, value in _ENVIRONMENT.items() if name not in os.environ})

gc.disable()  # it takes a sixth of the import's time
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of Ray's dependencies
    import ray
    from ray._private.node import Node
    from ray._private.services import ConsolePopen
gc.enable()

from search.engine.base import EngineFailed
from search.engine.processes.scratch import held_back, sweep, uninterrupted
from search.engine.ray import auth
from search.errors import SearchError


@dataclass(frozen=True)
class Resources:
    """What one trial takes: CPUs (whole, or a fraction) and GPUs (a fraction shares one)."""

    cpus: float
    gpus: float


@contextmanager
def running(folder: Path, verbose: bool = False) -> Iterator[None]:
    """A Ray of our own on this machine, on loopback, with its files in `folder`. Raises EngineFailed."""
    with _guarded_ray(folder, verbose, None):
        yield


@dataclass(frozen=True)
class Head:
    """A Ray that others connect to: `address` for `search run`, `jobs` for `search submit`, `token` the key to both."""

    address: str
    jobs: str
    token: Path


@contextmanager
def head(folder: Path, port: int = 8265, verbose: bool = False) -> Iterator[Head]:
    """A Ray as `running` starts, which also takes jobs, at `port` of loopback. Nothing of it is left afterwards.

    `folder`: as of scratch(), private and with a short name. Raises SearchError if the port is taken or what serves
    jobs is not installed, EngineFailed.
    """
    if missing():
        raise SearchError(f"Ray's Jobs API needs what is not here ({missing()}): pip install 'search[cluster]'")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise SearchError(f"port {port}: {error.strerror}; another Ray may take jobs there") from None
    with _guarded_ray(folder, verbose, port) as context:
        address = context.address_info["gcs_address"]
        # As `ray start` does: where a job finds no such note, it takes any Ray of this machine for its own.
        ray._private.utils.write_ray_address(address, _temp(folder))
        yield Head(address, f"http://127.0.0.1:{port}", folder / "token")


def missing() -> str:
    """What is not installed of the packages that `head` needs; empty if nothing."""
    return str(ray._private.utils.get_dashboard_dependency_error() or "")


@contextmanager
def _guarded_ray(folder: Path, verbose: bool, port: int | None) -> Iterator[Any]:
    """Start Ray, with its Jobs API at `port` if that is one, and end it; what ray.init returns."""
    with auth.guarded(auth.made(folder)):
        try:
            yield _start(folder, verbose, port)
        finally:
            with uninterrupted():
                ray.shutdown()


_ELSEWHERE = (
    "a driver runs on a node of its cluster, with the cluster's token in the file that RAY_AUTH_TOKEN_PATH names; "
    "from elsewhere, `search submit`"
)


@contextmanager
def joined(address: str, travels: Mapping[str, Any], verbose: bool) -> Iterator[None]:
    """Use the Ray at `address`, which others started and others end; `travels`: a runtime_env for its workers.

    Brings the cluster's token from where Ray looks for it, unless RAY_AUTH_MODE says that there is none. Raises
    SearchError.
    """
    auth.brought()
    os.environ["RAY_OVERRIDE_JOB_RUNTIME_ENV"] = "1"  # a job's may name the same things
    level = logging.INFO if verbose else logging.CRITICAL
    try:
        try:
            with held_back(), patch("ray._private.utils.set_sigterm_handler"):
                ray.init(address=address, log_to_driver=verbose, logging_level=level, runtime_env=dict(travels))
        except Exception as error:
            raise SearchError(f"--address {address}: {auth.why_not(error, _ELSEWHERE)}") from error
        for name in ("ray", "ray.tune"):
            logging.getLogger(name).setLevel(level)
        yield
    finally:
        with uninterrupted():
            ray.shutdown()


def servers() -> dict[int, str]:
    """The process numbers of Ray's servers that this process has started, and what they are."""
    node = ray._private.worker._global_node
    started: dict[str, Any] = node.all_processes if node is not None else {}
    words = {"raylet": "raylet", "gcs_server": "control store"}
    return {found.process.pid: word for kind, word in words.items() for found in started.get(kind, ())}


def restart(folder: Path, verbose: bool = False) -> None:
    """Start a new one in place of one that broke down, of which nothing is left then. Raises EngineFailed."""
    _clear(folder)
    _start(folder, verbose)


def _clear(folder: Path) -> None:
    with uninterrupted():
        ray.shutdown()
        sweep(Path(_temp(folder)))


def _start(folder: Path, verbose: bool, port: int | None = None) -> Any:
    """What ray.init returns. Tried twice: Ray chooses ports before it listens there, and others may be faster."""
    try:
        return _init(folder, verbose, port)
    except EngineFailed:
        _clear(folder)
        return _init(folder, verbose, port)


def _init(folder: Path, verbose: bool, port: int | None) -> Any:
    level = logging.INFO if verbose else logging.CRITICAL
    if not verbose:  # or it prints a page when a server of its dies
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    alone: dict[str, Any] = {"include_dashboard": False, "object_store_memory": 100 * 2**20}  # nothing large goes there
    jobs = {"include_dashboard": True, "dashboard_host": "127.0.0.1", "dashboard_port": port}
    spared = ["start_api_server", "start_monitor"] if port is None else []
    try:
        hushed = nullcontext() if verbose else _hushed()
        apart = patch("ray._private.services.ConsolePopen", _Apart)
        with held_back(), hushed, apart, _few_processes([*spared, *([] if verbose else ["start_log_monitor"])]):
            context = ray.init(
                address="local",
                log_to_driver=verbose,
                logging_level=level,
                _temp_dir=_temp(folder),
                **(alone if port is None else jobs),
            )
    except Exception as error:  # of many kinds, from a full disk to a port that is taken
        raise EngineFailed(f"Ray did not start: {str(error).strip().splitlines()[-1]}") from error
    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(level)
    return context


class _Apart(ConsolePopen):
    """A process of Ray's in a group of its own: Ctrl-C in a terminal is ours, and would end what serves jobs."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, process_group=0, **more)


def _temp(folder: Path) -> str:
    return str(folder / "ray")  # Ray lets everybody write there, so it lies in a private one


@contextmanager
def _hushed() -> Iterator[None]:
    """Nothing on stderr from compiled code: Ray's says there that it was asked to say nothing."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def _few_processes(spared: Sequence[str]) -> Iterator[None]:
    """Ray without the processes that these methods start: its dashboard, its autoscaler, their log monitor.

    They serve a cluster that many use; in a run of one's own they are three processes that cost two seconds before the
    first trial, and so do the agent's parts that serve the dashboard. A Ray that has no such methods starts as it does.
    """
    with ExitStack() as stack:
        for name in spared:
            if hasattr(Node, name):
                stack.enter_context(patch.object(Node, name, _nothing))
        if "start_api_server" in spared:
            stack.enter_context(
                patch("ray._private.utils.get_dashboard_dependency_error", lambda: ImportError("spared"))
            )
        stack.enter_context(patch("ray._private.utils.set_sigterm_handler"))  # SIGTERM is ours
        yield


def _nothing(node: Node, **options: Any) -> None:
    node._webui_url = getattr(node, "_webui_url", "")


def plan(cpus: float | None = None, gpus: float | None = None) -> tuple[Resources, int, int]:
    """What one trial takes, how many run at a time, and the CPU threads of each: its share of its node's cores.

    By default a trial takes one GPU and its share of the CPUs; without a GPU, one CPU, whatever `gpus` says.
    Raises SearchError if not even one fits.
    """
    there = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    with_gpus = [node for node in there if node.get("GPU")]
    gpus = 0.0 if not with_gpus else 1.0 if gpus is None else gpus
    if cpus is None:
        cpus = max(1.0, min(node.get("CPU", 0.0) * gpus // node["GPU"] for node in with_gpus)) if gpus else 1.0
    trial = Resources(cpus, gpus)
    used = [(node, fits(node, trial)) for node in there if fits(node, trial)]
    if not used:
        has = [f"{node.get('CPU', 0.0):g} and {node.get('GPU', 0.0):g}" for node in there]
        where = "this machine has" if len(has) == 1 else "the nodes of the cluster have"
        raise SearchError(
            f"a trial asks for {cpus:g} CPUs and {gpus:g} GPUs, and {where} {', '.join(has)}: "
            "--cpus-per-trial, --gpus-per-trial"
        )
    threads = min(int(node.get("CPU", 0.0) // places) for node, places in used)
    return trial, sum(places for _, places in used), max(1, threads)


def fits(node: Mapping[str, float], trial: Resources) -> int:
    """How many trials a node with such resources has room for."""
    asked = [(node.get("CPU", 0.0), trial.cpus), (node.get("GPU", 0.0), trial.gpus)]
    return min((_fits(has, wants) for has, wants in asked if wants), default=0)


def _fits(has: float, wants: float) -> int:
    """How many trials that want so much of a resource it is enough for; none has parts of two GPUs."""
    return int(has) * int(1 // wants) if wants < 1 else int(has // wants)
