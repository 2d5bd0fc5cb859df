"""What a study costs beside its training: 10,000 trials that train nothing, and many processes that report to one file.

python -m benchmarks.load trials [--trials 10000] [--storage URL]
python -m benchmarks.load reports [--processes 32] [--seconds 30] [--storage URL]
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import tempfile
import time
from multiprocessing.queues import Queue
from pathlib import Path

import numpy as np
from rich.console import Console

from search import Float, Int, SearchSpace
from search.engine.contract import Job
from search.engine.driver import Driver
from search.monitor import Notes
from search.progress import Progress
from search.spacefile import SpaceFile
from search.study import open_study

EPOCHS = 5


def space() -> SpaceFile:
    """Three dimensions and nothing to train, with the default sampler and pruner."""
    dimensions = SearchSpace(x=Float(0, 1), y=Float(1e-5, 1, log=True), z=Int(1, 30), epochs=EPOCHS)
    return SpaceFile(Path("space.py"), "space", dimensions, lambda config: iter(()), metric="score")


def driver(url: str, name: str, trials: int) -> Driver:
    """A driver with the listeners of `search run` that look at the study."""
    study, file = open_study(url, name, space()), space()
    progress = Progress(Console(quiet=True), name)
    made = Driver(study, file, trials, listeners=[progress, Notes(study)])
    progress.attach(made)
    return made


def through(made: Driver, times: list[float], until: float = math.inf, rate: float = math.inf, lanes: int = 1) -> None:
    """Run trials, `lanes` at a time, to their ends or until then; append each report's seconds, `rate` a second."""
    due = time.monotonic()
    live: list[Job] = []
    while time.monotonic() < until:
        while len(live) < lanes and (job := made.next()) is not None:
            live.append(job)
        if not live:
            return
        for job in live.copy():
            score = -((job.settings["x"] - 0.3) ** 2) + 0.01 * job.step
            message = {"epoch": {"score": score, "seconds": 0.0}, "step": job.step + 1, "last": job.step + 1 == EPOCHS}
            began = time.perf_counter()
            goes_on = made.receive(job, message)
            times.append(time.perf_counter() - began)
            if not goes_on:
                live.remove(job)
            due = max(due + 1 / rate, time.monotonic() - 1)  # who is late by more does not catch up
            time.sleep(max(0.0, due - time.monotonic()))
        made.catch_up()


def trials(url: str, count: int, block: int = 1000) -> list[float]:
    """Milliseconds a trial in each thousand of a study that trains nothing."""
    found, made = [], driver(url, "load", block)
    for end in range(block, count + 1, block):
        made.trials = end
        began = time.perf_counter()
        through(made, [])
        found.append((time.perf_counter() - began) / block * 1000)
        print(f"trials {end - block + 1} to {end}: {found[-1]:.1f} ms a trial", flush=True)
    return found


def _report(
    url: str, name: str, seconds: float, rate: float, lanes: int, queue: Queue[tuple[list[float], str]]
) -> None:
    times: list[float] = []
    error = ""
    try:
        through(driver(url, name, 10**6), times, time.monotonic() + seconds, rate, lanes)
    except Exception as failed:
        error = repr(failed)
    queue.put((times, error))


def reports(
    url: str, processes: int, seconds: float, rate: float = 10.0, lanes: int = 1
) -> tuple[np.ndarray, list[str]]:
    """Seconds of each report of so many processes, `rate` a second each, every one with a study of its own; errors."""
    context = multiprocessing.get_context("forkserver")
    queue: Queue[tuple[list[float], str]] = context.Queue()
    words = [(url, f"study-{number}", seconds, rate, lanes, queue) for number in range(processes)]
    started = [context.Process(target=_report, args=arguments) for arguments in words]
    for process in started:
        process.start()
    found = [queue.get() for _ in started]
    for process in started:
        process.join()
    return np.array([time for times, _ in found for time in times]), [error for _, error in found if error]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["trials", "reports"])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--storage")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = words.storage or f"sqlite:///{folder}/studies.db"
        if words.what == "trials":
            found = trials(url, words.trials)
            print(f"the last thousand took {found[-1] / found[0]:.2f} times what the first took")
        else:
            times, errors = reports(url, words.processes, words.seconds)
            at = np.percentile(times, [50, 99, 100]) * 1000
            print(f"{len(times)} reports ({len(times) / words.seconds:.0f} a second): median {at[0]:.1f} ms, ", end="")
            print(f"p99 {at[1]:.1f} ms, longest {at[2]:.0f} ms; errors: {len(errors)} {errors[:1]}")


if __name__ == "__main__":
    main()
