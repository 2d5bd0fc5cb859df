"""Ray's side of a training process: the actor that represents it on its node. Ray's workers import this module."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from search.engine.messages import Closed, Drop, Failed, Lost, Message, Silent
from search.engine.processes.children import how_it_ended
from search.engine.processes.forkserver import fork
from search.engine.ray import on_node, quick_imports
from search.entry_points import TRAIN

with quick_imports():
    import ray
    from ray import tune


class WarmWorker(tune.Trainable):
    """Represents a training process in Ray and passes its messages on. The process serves one trial after another."""

    def setup(self, config: dict[str, Any]) -> None:
        self._connection: Connection | None = None
        self._pid: int | None = None
        self._asked = False
        self._attempt = 0
        self._patience: float | None = config["workplace"].patience
        self._node = ray.get_runtime_context().get_node_id()
        self._connect(config)
        # Tune may have given the trial to another actor before this one was ready: it begins when Tune asks.
        self._order: bytes | None = config["order"]
        self._attempt = config["attempt"]

    def _connect(self, config: dict[str, Any]) -> Connection:
        if self._connection is None:
            self._borrowed = not config["fork_server"]
            self._fork_server = config["fork_server"] or on_node.address_here()
            self._connection = fork(self._fork_server, TRAIN, config["workplace"], on_node.placed())
        return self._connection

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if self._connection is not None and self._asked:
            self._answer(self._connection)  # of a trial whose result is not needed any more
        # The trial begins at once: other trials may keep Tune busy before it asks for the first epoch.
        self._connect(new_config).send_bytes(new_config["order"])
        self._order, self._attempt, self._asked = None, new_config["attempt"], True
        return True

    def step(self) -> dict[str, Any]:
        return {"message": self._message(), "node": self._node}

    def _message(self) -> Message:
        """The process's next message, or what became of it."""
        assert self._connection is not None
        try:
            if self._order is not None:
                self._connection.send_bytes(self._order)
            elif not self._asked:
                self._connection.send(None)
            self._order = None
            self._asked = False
            message = self._answer(self._connection)
            if isinstance(message, Failed) and (message.broken or message.missing):
                self._give_up()
                return self._of_the_node(message)
            return message
        except (EOFError, OSError) as error:  # TimeoutError is one
            pid = self._pid
            self._give_up(error)
            if self._patience is None or not isinstance(error, TimeoutError):
                how = how_it_ended(self._fork_server, pid) if pid is not None else ""
                return Lost(self._attempt, how)
            return Silent(self._attempt, self._patience)

    def _of_the_node(self, message: Failed) -> Message:
        """What the failure of a trial is on a node of a cluster where the space file is missing: the node's."""
        if not message.missing or not self._borrowed:
            return message
        on_node.unpack_here()
        return Lost(self._attempt, "a missing space file")

    def drop(self) -> str:
        """Have the trial's training closed; returns what went wrong meanwhile, or nothing.

        Tune knows nothing of this call, and its next one waits until this one has ended.
        """
        if self._connection is None:
            return ""
        try:
            self._connection.send(Drop(self._attempt))
            closed: Closed = self._received(self._connection)
        except (EOFError, OSError) as error:
            self._give_up(error)
            if isinstance(error, TimeoutError):
                return f"took longer than {self._patience:g} s, and its process was ended"
            return "ended its process"
        return closed.raised

    def _give_up(self, error: Exception | None = None) -> None:
        """The next trial gets a new process. This one may hang or be stopped, and never see the closed connection."""
        assert self._connection is not None
        self._connection.close()
        pid, self._connection, self._pid = self._pid, None, None
        if pid and isinstance(error, TimeoutError):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _answer(self, connection: Connection) -> Message:
        """The process's next message. The first one is its number. Raises EOFError or OSError if none comes."""
        if self._pid is None:
            self._pid = self._received(connection)
        message: Message = self._received(connection)
        return message

    def _received(self, connection: Connection) -> Any:
        if not connection.poll(self._patience):
            raise TimeoutError
        return connection.recv()
