"""Trials one after another in this process: for a debugger, and where Ray is not wanted."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pkgutil import resolve_name
from typing import Any

from search.engine.base import LimitReached, Setup
from search.engine.driver import Driver
from search.engine.failures import RunAborted
from search.engine.messages import Failed, Message, WorkerConfig
from search.engine.processes.places import without_gpu
from search.engine.processes.signals import given_back
from search.engine.worker import Worker
from search.errors import SearchError, option


@dataclass(frozen=True)
class Inline:
    """This process as an engine."""

    workplace: WorkerConfig
    gpus: float | None = None
    """What the user says that a trial takes; a train() of the user's own has all that this process sees."""

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
            share = "" if self.gpus is None else option("gpus_per_trial", f"{self.gpus:g}")
            return f"{here}, which sees every GPU that there is; {share} shares none" if share else here
        cores = self.workplace.threads
        return here if self.workplace.device == "cuda" else f"{here}; {without_gpu(cores)}"

    def run(self, driver: Driver) -> None:
        """Run the driver's trials to their ends, one at a time."""
        worker = Worker(self.workplace)
        while trial := driver.next():
            try:
                with given_back(signal.SIGINT, signal.SIGTERM):
                    worker.start(trial.order)
                while driver.receive(trial, message := self._step(worker, driver, trial.number)):
                    if driver.over:
                        raise LimitReached
                if isinstance(message, Failed) and message.broken:
                    raise RunAborted(f"{message.reason}; this process can use its GPU no more: start a new one")
            finally:
                driver.closed(trial.number, worker.close().raised)
            driver.catch_up()
        if driver.over:  # between two trials
            raise LimitReached

    def _step(self, worker: Worker, driver: Driver, number: int) -> Message:
        """The worker's next message. Raises KeyboardInterrupt for Ctrl-C, and not where the user's code raised it.

        A handler of Ctrl-C that the user's code sets ends with the epoch: it would take an interrupted trial for one
        that ended by itself.
        """
        try:
            with given_back(signal.SIGINT, signal.SIGTERM):
                message = worker.step()
        except KeyboardInterrupt as error:
            if driver.run.signalled != []:
                raise
            return worker.failed(error)
        if driver.run.signalled and isinstance(message, Failed):  # what it raised for Ctrl-C changes no state
            driver.closed(number, message.reason)
        return message

    def call(self, function: str, *args: Any) -> Any:
        """Call the training side's `function`, named as module:function, with `args` and a progress that is ignored."""
        return resolve_name(function)(*args, None)


@contextmanager
def in_this_process(setup: Setup) -> Iterator[tuple[Inline, Any]]:
    """This process as an engine, once the check has run in it. Raises SearchError for what needs other processes."""
    inline, check = option("engine", "inline"), setup.check
    if setup.address is not None:
        raise SearchError(f"{option('address')} is of a Ray cluster, which {inline} does not use")
    if setup.workplace.patience is not None:
        raise SearchError(f"{option('trial_timeout')} ends a worker's process, and {inline} has none")
    if setup.gpus is not None and setup.gpus > 1 and setup.workplace.own_train is None:
        many = option("gpus_per_trial", f"{setup.gpus:g}")
        raise SearchError(f"{many} trains a trial in a process for each GPU, and {inline} has one process")
    said = check and setup.wait(partial(resolve_name(check[0]), *check[1:]))
    yield replace(Inline.here(setup.workplace), gpus=setup.gpus), said
