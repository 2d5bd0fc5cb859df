"""This machine without a GPU as an engine. Trials begin sooner than Ray could start, which adds nothing here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from search.engine.base import Engine, Setup
from search.engine.driver import Driver
from search.engine.launch import checked_by, with_ray
from search.engine.messages import WorkerConfig
from search.engine.processes import places
from search.engine.processes.forkserver import Call, ForkServer
from search.engine.processes.loop import Loop
from search.study.storage.open import warm_up


@dataclass(frozen=True)
class Here:
    """`slots` trials at a time, in processes of the `fork_server`."""

    fork_server: ForkServer
    workplace: WorkerConfig
    slots: int

    @property
    def note(self) -> str:
        where = places.without_gpu(len(os.sched_getaffinity(0)))
        return places.side_by_side(where, self.slots, self.workplace.threads)

    def run(self, driver: Driver) -> None:
        """Run the driver's trials to their ends. Raises whatever the driver raised."""
        loop = Loop(driver, self.fork_server, self.workplace, self.slots)
        try:
            loop.run()
        finally:
            loop.end()

    def call(self, function: str, *args: Any) -> Any:
        """What the training side's `function`, named as module:function, returns for `args` and one more, ignored.

        Raises what it raised, or Died.
        """
        return Call(self.fork_server.address, function, *args).result()


@contextmanager
def at_once(setup: Setup) -> Iterator[tuple[Engine, Any]]:
    """The engine that has the first trial soonest. On a cluster, and where there may be a GPU, Ray hands out places.

    Raises SearchError, EngineFailed.
    """
    if setup.address is not None or places.accelerators():
        with with_ray(setup) as found:
            yield found
        return
    there = [{"CPU": float(places.machine_cpus())}]
    _, slots, threads = places.plan(there, setup.cpus, setup.gpus)
    workplace = replace(setup.workplace, device="cpu", threads=threads, gpus=0.0, ranks=1)
    with checked_by(setup) as (forks, said):
        warm_up()
        yield Here(forks, workplace, slots), said()
