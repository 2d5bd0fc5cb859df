"""Every private name of Ray that this package uses, and every change it makes to Ray. Written for Ray 2.60.

An upgrade of Ray begins here. A missing name raises AttributeError or ImportError in the tests of this folder.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from subprocess import list2cmdline
from typing import Any

from ray._private import ray_constants, services, utils, worker
from ray._private.node import Node
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined] # it is compiled
from ray.air.execution.resources.placement_group import PlacementGroupResourceManager
from ray.exceptions import RayError
from ray.tune.utils.object_cache import _ObjectCache


@contextmanager
def replaced(target: Any, **attributes: Any) -> Iterator[None]:
    """Give `target` other attributes, and restore them afterwards."""
    before = {name: getattr(target, name) for name in attributes}
    for name, value in attributes.items():
        setattr(target, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(target, name, value)


def node_here() -> bool:
    """Whether a node of a Ray runs on this machine, as far as its processes can be seen."""
    return bool(services.find_gcs_addresses())


def sigterm_left_alone() -> AbstractContextManager[None]:
    """Keep Ray from handling SIGTERM. search handles it."""
    return replaced(utils, set_sigterm_handler=lambda handler: None)


def errors_unsaid(verbose: bool) -> AbstractContextManager[None]:
    """Keep off the screen what Ray's other processes tell of their errors, unless `verbose`. We say it in one line."""
    return nullcontext() if verbose else replaced(worker, listen_error_messages=lambda *_: None)


def workers_kept() -> AbstractContextManager[None]:
    """Have Tune keep each worker whose trial has ended, until no more trials come.

    Tune keeps one, ends the others, and starts new ones for the next trials. Where trials end at the same time, that is
    a process for each, which imports Ray first.
    """

    def keep(cache: Any, key: Any, actor: Any) -> bool:
        cache._cached_objects[key].append(actor)
        cache._num_cached_objects += 1
        return True

    def flush(cache: Any, force_all: bool = False) -> Iterator[Any]:
        for actors in cache._cached_objects.values() if force_all else ():
            while actors:
                cache._num_cached_objects -= 1
                yield actors.pop(0)

    return replaced(_ObjectCache, cache_object=keep, flush_cached_objects=flush)


def groups_given_up() -> AbstractContextManager[None]:
    """Keep off the screen that Tune, whose Ray has died, cannot give back what its trials held there.

    It does so when Python removes it, from where nobody hears an error and Python prints it with a traceback.
    """

    def give_back(manager: Any) -> None:
        with suppress(RayError):
            manager.clear()

    return replaced(PlacementGroupResourceManager, __del__=give_back)


@contextmanager
def private_ray(jobs: bool, logs: bool) -> Iterator[None]:
    """A Ray that is started in the block listens on loopback, takes no signals, and starts few processes.

    Without `jobs`, it has no dashboard, no autoscaler and no agents, without `logs` no log monitor. They serve a
    cluster of many users. For one run the agents alone are 1.1 seconds of a core and 180 MB. If Ray has renamed what
    is named below, it starts them.
    """
    unwanted = [*([] if jobs else ["start_api_server", "start_monitor"]), *([] if logs else ["start_log_monitor"])]
    with ExitStack() as stack:
        stack.enter_context(sigterm_left_alone())
        stack.enter_context(replaced(services, ConsolePopen=_OwnGroup if jobs else _WithoutAgents))
        # Ray reads this switch once, when it is imported, which may have been before search set it.
        beyond = os.environ.get(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, "0").lower() in ("1", "true")
        stack.enter_context(replaced(ray_constants, ENABLE_RAY_CLUSTER=beyond))
        for name in unwanted:
            if hasattr(Node, name):
                stack.enter_context(replaced(Node, **{name: _start_nothing}))
        yield


class _OwnGroup(services.ConsolePopen):
    """A process of Ray in its own group. Ctrl-C in the terminal is for search, and would end the Jobs API."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, process_group=0, **more)


_AGENT = """
import os, sys, time
raylet, folder, node = os.getppid(), *sys.argv[1:3]
try:
    with open(f"/proc/{raylet}/comm") as file:
        if file.read().strip() != "raylet":  # it has died already, and another took its children
            sys.exit()
except OSError:
    pass
for port in sys.argv[3:]:
    name, _, number = port.partition("=")
    path = os.path.join(folder, f"{name}_{node}")
    with open(path + "~", "w") as file:
        file.write(number)
    os.replace(path + "~", path)
while os.getppid() == raylet:
    time.sleep(0.5)
"""
"""Stands for an agent of Ray's: it says that no port is open, and lives as long as raylet, which asks for both."""
_AGENTS = {
    "dashboard_agent_command": ("metrics_agent_port=-1", "metrics_export_port=-1", "dashboard_agent_listen_port=-1"),
    "runtime_env_agent_command": ("runtime_env_agent_port=1",),  # any but -1; trials have no runtime_env
}


class _WithoutAgents(_OwnGroup):
    """As _OwnGroup. Raylet waits for its agents, which import Ray for a second and serve nobody here."""

    def __init__(self, args: list[str], **more: Any) -> None:
        options = dict(word[2:].split("=", 1) for word in args if "=" in word)
        if {*_AGENTS, "session_dir", "node_id"} <= options.keys():
            agent = [sys.executable, "-I", "-S", "-c", _AGENT, options["session_dir"], options["node_id"]]
            kept = [word for word in args if word[2:].split("=")[0] not in _AGENTS]
            args = [*kept, *(f"--{name}={list2cmdline([*agent, *ports])}" for name, ports in _AGENTS.items())]
        super().__init__(args, **more)


def _start_nothing(node: Node, **options: Any) -> None:
    node._webui_url = getattr(node, "_webui_url", "")


def missing_for_jobs() -> str:
    """The missing packages of Ray's Jobs API. Empty if none is missing."""
    return str(utils.get_dashboard_dependency_error() or "")


def write_address(address: str, temp: str) -> None:
    """Write Ray's address into its folder, as `ray start` does. Without it, a job uses any Ray of the machine."""
    utils.write_ray_address(address, temp)


def servers() -> dict[int, str]:
    """The process numbers and the kinds of Ray's servers that this process has started."""
    node = worker._global_node
    started: dict[str, Any] = node.all_processes if node is not None else {}
    words = {"raylet": "raylet", "gcs_server": "control store"}
    return {found.process.pid: word for kind, word in words.items() for found in started.get(kind, ())}


def raylet_here() -> dict[int, str]:
    """The process number and the kind of the server that this process uses of a cluster that others started."""
    node = worker._global_node
    with suppress(OSError), socket.socket(socket.AF_UNIX) as asked:
        asked.connect(node.raylet_socket_name if node is not None else "")
        pid = struct.unpack("3i", asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        return {pid: "the cluster's node on this machine ended"} if pid else {}
    return {}


def read_token_again() -> None:
    """Make Ray read its token from the environment again. Ray reads it once a process."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()
