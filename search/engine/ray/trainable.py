"""Ray's side of a training process: the actor that represents it on its node. Ray's workers import this module."""

from __future__ import annotations

from typing import Any, cast

from search.engine.messages import Closed, Drop, Failed, Lost, Message, Silent
from search.engine.processes.crew import Crew
from search.engine.ray import on_node, quick_imports

with quick_imports():
    import ray
    from ray import tune


class WarmWorker(tune.Trainable):
    """Represents a training process in Ray and passes its messages on. The process serves one trial after another.

    Where a trial has several GPUs, it represents one process for each.
    """

    def setup(self, config: dict[str, Any]) -> None:
        self._crew: Crew | None = None
        self._asked = False
        self._attempt = 0
        self._patience: float | None = config["workplace"].patience
        self._node = ray.get_runtime_context().get_node_id()
        self._connect(config)
        # Tune may have given the trial to another actor before this one was ready: it begins when Tune asks.
        self._order: bytes | None = config["order"]
        self._attempt = config["attempt"]

    def _connect(self, config: dict[str, Any]) -> Crew:
        if self._crew is None:
            self._borrowed = not config["fork_server"]
            address = config["fork_server"] or on_node.address_here()
            self._crew = Crew(address, config["workplace"], on_node.placed())
        return self._crew

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if self._crew is not None and self._asked:
            self._crew.receive()  # of a trial whose result is not needed any more
            if self._crew.torn:
                self._give_up()
        # The trial begins at once: other trials may keep Tune busy before it asks for the first epoch.
        self._connect(new_config).send_bytes(new_config["order"])
        self._order, self._attempt, self._asked = None, new_config["attempt"], True
        return True

    def step(self) -> dict[str, Any]:
        return {"message": self._message(), "node": self._node}

    def _message(self) -> Message:
        """The process's next message, or what became of it."""
        crew = self._crew
        assert crew is not None
        try:
            if self._order is not None:
                crew.send_bytes(self._order)
            elif not self._asked:
                crew.send(None)
            self._order = None
            self._asked = False
            message = cast(Message, crew.receive())
            if isinstance(message, Failed) and (message.broken or message.missing or crew.torn):
                self._give_up()
                return self._of_the_node(message)
            return message
        except (EOFError, OSError) as error:  # TimeoutError is one
            self._give_up(error)
            if self._patience is None or not isinstance(error, TimeoutError):
                return Lost(self._attempt, crew.how_it_died())
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
        if self._crew is None:
            return ""
        try:
            self._crew.send(Drop(self._attempt))
            closed = cast(Closed, self._crew.receive())
        except (EOFError, OSError) as error:
            self._give_up(error)
            if isinstance(error, TimeoutError):
                return f"took longer than {self._patience:g} s, and its process was ended"
            return "ended its process"
        if closed.stuck:
            self._give_up()
        return closed.raised

    def _give_up(self, error: Exception | None = None) -> None:
        """The next trial gets new processes. These may hang or be stopped."""
        assert self._crew is not None
        self._crew.close(hangs=isinstance(error, TimeoutError))
        self._crew = None
