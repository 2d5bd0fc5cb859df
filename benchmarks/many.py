"""One driver and many simulated workers: how long an epoch waits from the yield until it is stored.

python -m benchmarks.many [--workers 500] [--every 10] [--seconds 120] [--storage URL] [--busy]

The workers are numbers, because 500 processes of Ray's fit on no machine of two cores. The driver, its callbacks and
its storage are those of `search run`. As in Ray Tune, a round begins with at most one new trial and takes in one
report; new trials wait while many reports do.

With --busy, the clock is the CPU time of the driver, and jumps while it waits: what it would be with a core for itself,
where other programs keep the machine busy. The time of the disk and of PostgreSQL is not in it.
"""

from __future__ import annotations

import argparse
import heapq
import tempfile
import time
from dataclasses import dataclass

import numpy as np

from benchmarks import load
from search.engine.messages import Report
from search.engine.ray.lanes import Backlog
from search.engine.trial import ActiveTrial

EPOCHS = 40


@dataclass(frozen=True)
class Seen:
    """Of so many `epochs` in `seconds`: the seconds from the yield to the storage, and what else there was."""

    waits: np.ndarray
    workers: int
    start: float
    """Seconds until every worker had its first trial."""
    trials: int
    seconds: float
    cpu: float
    """Seconds of CPU of the driver."""

    def __str__(self) -> str:
        median, high, longest = np.percentile(self.waits, [50, 99, 100]) * 1000
        rate, core = len(self.waits) / self.seconds, self.cpu / self.seconds
        return (
            f"{rate:.1f} epochs a second, {self.trials} trials; from the yield to the storage "
            f"median {median:.1f} ms, p99 {high:.0f} ms, longest {longest:.0f} ms; "
            f"driver {core:.2f} of a core, {self.cpu / len(self.waits) * 1000:.1f} ms of CPU an epoch; "
            f"all {self.workers} began within {self.start:.1f} s"
        )


class Clock:
    """The clock of the machine; or if `busy`, the CPU time of this process, in which waiting takes none."""

    def __init__(self, busy: bool) -> None:
        self._busy, self._waited = busy, 0.0

    def __call__(self) -> float:
        return time.process_time() + self._waited if self._busy else time.monotonic()

    def wait(self, seconds: float) -> None:
        if self._busy:
            self._waited += max(0.0, seconds)
        else:
            time.sleep(max(0.0, seconds))


def simulate(url: str, workers: int = 500, every: float = 10.0, seconds: float = 120.0, busy: bool = False) -> Seen:
    """So many workers that train for `every` seconds from the driver's answer to their next report.

    Each trial has EPOCHS; the pruner stops half of those that come to a rung, and new ones take their place.
    """
    made, clock = load.driver(url, "many", 10**6, EPOCHS), Clock(busy)
    due: list[tuple[float, int, ActiveTrial]] = []
    waits: list[float] = []
    backlog = Backlog(clock)
    began, used, start, count = clock(), time.process_time(), 0.0, 0
    while clock() - began < seconds:
        put_off = backlog.puts_off(len(due))
        if not put_off and len(due) < workers and (job := made.next()) is not None:
            count += 1
            heapq.heappush(due, (clock() + every, job.number, job))
            start = start or (clock() - began if len(due) == workers else 0.0)
        elif not put_off:
            made.catch_up()
        backlog.waits()
        clock.wait(min(due[0][0] - clock(), 0.1 if len(due) == workers else 0.0))
        if due[0][0] <= clock():
            backlog.came()
            yielded, _, job = heapq.heappop(due)
            step = job.last.step + 1
            score = -((job.settings["x"] - 0.3) ** 2) + 0.01 * step
            goes_on = made.receive(job, Report(job.attempt, {"score": score, "seconds": every}, step, step == EPOCHS))
            waits.append(clock() - yielded)
            if goes_on:
                heapq.heappush(due, (clock() + every, job.number, job))
    return Seen(np.array(waits), workers, start, count, clock() - began, time.process_time() - used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=500)
    parser.add_argument("--every", type=float, default=10.0, help="seconds from the answer to the next report")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--storage")
    parser.add_argument("--busy", action="store_true", help="the clock is the CPU time of the driver")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = words.storage or f"sqlite:///{folder}/studies.db"
        print(simulate(url, words.workers, words.every, words.seconds, words.busy))


if __name__ == "__main__":
    main()
