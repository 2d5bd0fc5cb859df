"""Trials one after another in this process: for a debugger, and where Ray is not wanted."""

from __future__ import annotations

from search.engine.driver import Driver, OutOfTime
from search.engine.worker import Worker, Workplace


def run(driver: Driver, workplace: Workplace) -> None:
    """Run the driver's trials to their ends, one at a time."""
    worker = Worker(workplace)
    while job := driver.next():
        worker.start(job.settings)
        while driver.receive(job, worker.step()):
            if driver.out_of_time:
                raise OutOfTime
    if driver.counts.total() < driver.trials:  # the time was over between two trials
        raise OutOfTime
