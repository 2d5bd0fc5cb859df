"""Trials one after another in this process: for a debugger, and where Ray is not wanted."""

from __future__ import annotations

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from search.engine.contract import OutOfTime
from search.engine.driver import Driver
from search.engine.worker import Worker, Workplace


@dataclass(frozen=True)
class Inline:
    """This process as an engine."""

    workplace: Workplace

    @property
    def note(self) -> str:
        here = "one trial at a time, in this process"
        if self.workplace.own_train:  # it may not care for GPUs, and need not wait for torch
            return here
        import torch

        return here if torch.cuda.is_available() else f"{here}; no GPU: training on {self.workplace.threads} CPU cores"

    def run(self, driver: Driver) -> None:
        """Run the driver's trials to their ends, one at a time."""
        worker = Worker(self.workplace)
        while job := driver.next():
            worker.start(job.settings, job.keep, job.checkpoints)
            while driver.receive(job, worker.step()):
                if driver.out_of_time:
                    raise OutOfTime
            driver.catch_up()
        if driver.counts.total() < driver.trials:  # the time was over between two trials
            raise OutOfTime

    def call(self, function: str, *args: Any) -> Any:
        """What the training side's `function`, named as module:function, returns for `args` and one more, ignored."""
        return resolve_name(function)(*args, None)
