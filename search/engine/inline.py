"""Trials one after another in this process: for a debugger, and where Ray is not wanted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pkgutil import resolve_name
from typing import Any

from search.engine.base import LimitReached
from search.engine.driver import Driver
from search.engine.worker import Worker, WorkerConfig


@dataclass(frozen=True)
class Inline:
    """This process as an engine."""

    workplace: WorkerConfig

    @classmethod
    def here(cls, workplace: WorkerConfig) -> Inline:
        """On a GPU if this process has one. With a train() of the space file: on the CPU, without waiting for torch."""
        if workplace.own_train:
            return cls(replace(workplace, device="cpu"))
        import torch

        return cls(replace(workplace, device="cuda" if torch.cuda.is_available() else "cpu"))

    @property
    def note(self) -> str:
        here = "one trial at a time, in this process"
        if self.workplace.own_train:
            return here
        cores = self.workplace.threads
        return here if self.workplace.device == "cuda" else f"{here}; no GPU: training on {cores} CPU cores"

    def run(self, driver: Driver) -> None:
        """Run the driver's trials to their ends, one at a time."""
        worker = Worker(self.workplace)
        while job := driver.next():
            worker.start(job.order)
            while driver.receive(job, worker.step()):
                if driver.over:
                    raise LimitReached
            driver.catch_up()
        if driver.over:  # between two trials
            raise LimitReached

    def call(self, function: str, *args: Any) -> Any:
        """Call the training side's `function`, named as module:function, with `args` and a progress that is ignored."""
        return resolve_name(function)(*args, None)
