"""What a node of a cluster does itself: its fork server's keeper, and what Ray's workers ask of that.

Ray's workers import this module, and nothing of the driver's side with it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import ray

from search.engine.processes.forkserver import HOME, WAITING, Call, Died, ForkServer, run_fork_server
from search.engine.ray.luggage import Files, copy_of, unpacked_here
from search.errors import SearchError, first_line


class Keeper:
    """Keeps a node's fork server running. Ray ends it with the run's driver, and the forked processes end with it."""

    def __init__(
        self,
        preload: Sequence[str],
        check: tuple[Any, ...] | None,
        verbose: bool,
        patience: float | None,
        files: Files | None,
    ) -> None:
        """`files`: those of the space file's folder. None: there is no space file."""
        self._stack, self._check, self._files = ExitStack(), check, files
        self._said: list[str] = []
        self._fork_server: ForkServer = self._stack.enter_context(
            run_fork_server(preload, verbose, patience, self._said.append)
        )
        self._source = unpacked_here()
        self._wrong = self.unpack()

    def unpack(self) -> str:
        """Give the forked processes a copy of the space file's folder, which no other node takes away.

        Returns what is wrong, or nothing.
        """
        try:
            if self._files is not None:
                copy_of(self._source, self._fork_server.folder / HOME, self._files)
        except SearchError as error:
            return str(error)
        return ""

    def ready(self) -> tuple[str, str]:
        """The fork server's address, and what is wrong on this node, after its check and the decoding of its images."""
        if self._check is not None and not self._wrong:
            try:
                Call(self._fork_server.address, *self._check).result()
            except (SearchError, Died) as error:
                self._wrong = first_line(error)
            self._check = None
        return self._fork_server.address, self._wrong

    def close(self) -> list[str]:
        """End the fork server, once the training has closed what it opened. Returns what is to be said of that."""
        self._stack.close()
        return [line for line in self._said if line != WAITING]


def address_here(patience: float = 300.0) -> str:
    """The address of this node's fork server, once that is ready. For workers. Raises RuntimeError."""
    name, deadline = name_of(ray.get_runtime_context().get_node_id()), time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            answer: Any = ray.get_actor(name).ready.remote()
        except ValueError:  # the driver has not seen this node yet
            time.sleep(0.1)
            continue
        address, wrong = ray.get(answer, timeout=patience)
        if wrong:
            raise RuntimeError(wrong)
        return str(address)
    raise RuntimeError("no fork server came to this node")


def name_of(node: str) -> str:
    """What Ray calls the keeper of the node with the id `node`."""
    return f"fork server of {node}"


def unpack_here() -> None:
    """Copy the space file's folder again, which a worker has missed on this node. For workers."""
    ray.get(ray.get_actor(name_of(ray.get_runtime_context().get_node_id())).unpack.remote())


def call_here(function: str, args: tuple[Any, ...]) -> Any:
    """Call a function of the training side in a process of this node, and return its result. For workers.

    The process sees the GPU that Ray has given this worker, as a training process does.
    """
    return Call(address_here(), function, *args, environment=placed()).result()


def placed() -> dict[str, str]:
    """The GPUs and the threads that Ray has given this worker."""
    names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
    return {name: os.environ[name] for name in names if name in os.environ}
