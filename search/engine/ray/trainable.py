"""Ray's side of a training process: the actor that represents it on its node. Ray's workers import this module."""

from __future__ import annotations

from typing import Any

from search.engine.messages import Failed, Lost, Message
from search.engine.processes.crew import Crew
from search.engine.processes.lane import Lane
from search.engine.ray import on_node, quick_imports

with quick_imports():
    import ray
    from ray import tune


class WarmWorker(tune.Trainable):
    """Represents a training process in Ray and passes its messages on. The process serves one trial after another.

    Where a trial has several GPUs, it represents one process for each.
    """

    def setup(self, config: dict[str, Any]) -> None:
        workplace = config["workplace"]
        self._borrowed = not config["fork_server"]
        self._node = ray.get_runtime_context().get_node_id()

        def connect() -> Crew:
            return Crew(config["fork_server"] or on_node.address_here(), workplace, on_node.placed())

        self._lane = Lane(connect, workplace.patience)
        self._lane.ready()
        # Tune may have given the trial to another actor before this one was ready: it begins when Tune asks.
        self._order: bytes | None = config["order"]
        self._attempt = config["attempt"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        # The trial begins at once: other trials may keep Tune busy before it asks for the first epoch.
        self._lane.begin(new_config["order"], new_config["attempt"])
        self._order, self._attempt = None, new_config["attempt"]
        return True

    def step(self) -> dict[str, Any]:
        return {"message": self._message(), "node": self._node}

    def _message(self) -> Message:
        """The process's next message, or what became of it."""
        try:
            if self._order is not None:
                self._lane.begin(self._order, self._attempt)
                self._order = None
        except (EOFError, OSError) as error:
            return self._lane.lost(error)
        message = self._lane.message()
        if isinstance(message, Failed) and message.missing and self._borrowed:  # the node's failure, not the trial's
            on_node.unpack_here()
            return Lost(self._attempt, "a missing space file")
        return message

    def drop(self) -> str:
        """Have the trial's training closed; returns what went wrong meanwhile, or nothing.

        Tune knows nothing of this call, and its next one waits until this one has ended.
        """
        return self._lane.drop()
