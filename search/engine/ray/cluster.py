"""The start and the end of Ray."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from search.engine.base import EngineFailed
from search.engine.processes.places import machine_cpus
from search.engine.processes.scratch import sweep
from search.engine.processes.signals import held_back, uninterrupted
from search.engine.ray import auth, patches
from search.errors import ClusterFailed, SearchError, first_line, option


@contextmanager
def running(folder: Path, verbose: bool = False) -> Iterator[None]:
    """Start a Ray on this machine, on loopback, with its files in `folder`, and end it. Raises EngineFailed."""
    with _guarded_ray(folder, verbose, None):
        yield


@dataclass(frozen=True)
class Head:
    """A Ray for others: `address` serves `search run`, `jobs` serves `search submit`, `token` is the key to both."""

    address: str
    jobs: str
    token: Path


@contextmanager
def head(folder: Path, port: int = 8265, verbose: bool = False) -> Iterator[Head]:
    """Start a Ray as `running` does that also takes jobs at `port` of loopback. It leaves nothing behind.

    `folder`: private and with a short name, as scratch() makes it. Raises SearchError if the port is taken or the Jobs
    API is not installed. Raises EngineFailed if Ray does not start.
    """
    check_head(port)
    with _guarded_ray(folder, verbose, port) as context:
        address = context.address_info["gcs_address"]
        patches.write_address(address, _temp(folder))
        yield Head(address, f"http://127.0.0.1:{port}", folder / "token")


def check_head(port: int) -> None:
    """Raise SearchError if no Ray of this machine can take jobs at `port`, before anything is started."""
    check_jobs_api()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise SearchError(f"port {port}: {error.strerror}; another Ray may take jobs there") from None


def check_jobs_api() -> None:
    """Raise SearchError if a package of Ray's Jobs API is not installed."""
    if missing := patches.missing_for_jobs():
        raise SearchError(f"Ray's Jobs API needs what is not here ({missing}): pip install 'search[cluster]'")


@contextmanager
def _guarded_ray(folder: Path, verbose: bool, port: int | None) -> Iterator[Any]:
    """Start Ray, with its Jobs API at `port` unless that is None, and end it. Yields what ray.init returns."""
    with auth.token_required(auth.new_token(folder)):
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
    """Use the Ray at `address`, which others start and end. `travels`: the runtime_env of its workers.

    The cluster's token is sent, unless RAY_AUTH_MODE says that there is none. Raises SearchError.
    """
    _check_answers(address)
    auth.send_token()
    os.environ["RAY_OVERRIDE_JOB_RUNTIME_ENV"] = "1"  # a job's may name the same things
    level = logging.INFO if verbose else logging.CRITICAL
    if not verbose:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        try:
            hushed = nullcontext() if verbose else _hushed()
            with held_back(), hushed, patches.sigterm_left_alone(), patches.errors_unsaid(verbose):
                ray.init(address=address, log_to_driver=verbose, logging_level=level, runtime_env=dict(travels))
        except Exception as error:
            raise SearchError(f"{option('address', address)}: {auth.why_not(error, _ELSEWHERE)}") from error
        for name in ("ray", "ray.tune"):
            logging.getLogger(name).setLevel(level)
        yield
    finally:
        with uninterrupted():
            ray.shutdown()


TRIES, APART = 5, 1.0
"""How often, and after how many seconds, a cluster's head is asked whether it is there."""
_ANSWERS = 5.0
"""Seconds in which it takes a connection."""


def _check_answers(address: str) -> None:
    """Raise ClusterFailed where nobody listens: Ray would wait for ever, and take no Ctrl-C."""
    host, _, port = address.rpartition(":")
    if port.isdigit():  # not auto
        check_answers(address, host.strip("[]"), int(port))


def check_answers(address: str, host: str, port: int, tries: int = TRIES) -> None:
    """Raise ClusterFailed where nobody listens at `port` of the `host` that `address` names."""
    for left in reversed(range(tries)):
        try:
            socket.create_connection((host, port), timeout=_ANSWERS).close()
            return
        except (OSError, OverflowError) as error:
            said = first_line(error)
        time.sleep(APART if left else 0)
    no_head = f"{option('address', address)}: no cluster's head answers ({said})"
    raise ClusterFailed(f"{no_head}; start it, or write the address that it printed")


def restart(folder: Path, verbose: bool = False) -> None:
    """End a Ray that broke down, with all its processes, and start another. Raises EngineFailed."""
    _clear(folder)
    _start(folder, verbose)


def crashed_by_a_stranger(folder: Path) -> bool:
    """Whether the Ray with its files in `folder` died of a request that Ray checks before it asks for the token.

    Any account of the machine can send it: StartSync of Ray's RaySyncer, without a node's id (Ray 2.60).
    """
    logs = Path(_temp(folder)).glob("session_*/logs/*")
    return any(_ends_with_that(log) for log in logs if log.name.startswith(("raylet", "gcs_server")))


def _ends_with_that(log: Path) -> bool:
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 2**16))
        return b"ray_syncer_server.cc" in file.read()
    return False


def _clear(folder: Path) -> None:
    with uninterrupted():
        ray.shutdown()
        sweep(Path(_temp(folder)))


def _start(folder: Path, verbose: bool, port: int | None = None) -> Any:
    """Start Ray, with a second try: another program may take a port that Ray has chosen. Returns ray.init's result."""
    try:
        return _init(folder, verbose, port)
    except EngineFailed:
        _clear(folder)
        return _init(folder, verbose, port)


def _init(folder: Path, verbose: bool, port: int | None) -> Any:
    level = logging.INFO if verbose else logging.CRITICAL
    if not verbose:  # else it prints a page when one of its servers dies
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    alone = {
        "include_dashboard": False,
        "num_cpus": machine_cpus(),
        "object_store_memory": 100 * 2**20,  # nothing large goes there
    }
    jobs = {"include_dashboard": True, "dashboard_host": "127.0.0.1", "dashboard_port": port}
    try:
        hushed = nullcontext() if verbose else _hushed()
        unsaid = patches.errors_unsaid(verbose)
        with held_back(), hushed, unsaid, patches.private_ray(jobs=port is not None, logs=verbose):
            context = ray.init(
                address="local",
                log_to_driver=verbose,
                logging_level=level,
                _temp_dir=_temp(folder),
                **(alone if port is None else jobs),
            )
    except Exception as error:  # of many classes, from a full disk to a port in use
        raise EngineFailed(f"Ray did not start: {str(error).strip().splitlines()[-1]}") from error
    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(level)
    return context


def _temp(folder: Path) -> str:
    return str(folder / "ray")  # everybody may write there, so it lies in a private folder


@contextmanager
def _hushed() -> Iterator[None]:
    """Discard stderr. Ray's compiled code writes there that its log level is low."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
