"""What a study costs beside its training: 10,000 trials that train nothing, and many that report to one file.

python -m benchmarks.load run [--trials 10000] [--lanes 2] [--storage URL]      a whole `search run`
python -m benchmarks.load workers [--workers 32] [--seconds 60] [--rate 10]      a whole `search run`
python -m benchmarks.load trials [--trials 10000] [--storage URL]      a driver without workers
python -m benchmarks.load reports [--workers 32] [--lanes 1] [--seconds 60] [--rate 10] [--storage URL]  32 such drivers
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from rich.console import Console

from benchmarks.processes import Watched, watched
from search import Float, Int, SearchSpace, cli
from search.engine.driver import Driver
from search.engine.messages import Report
from search.engine.rules import Rules
from search.engine.trial import ActiveTrial
from search.monitoring.progress import Progress
from search.monitoring.tensorboard import Notes
from search.space.file import SpaceFile
from search.study.pruner import ASHA
from search.study.storage import rdb
from search.study.study import load_study, open_study

EPOCHS = 5


def space(epochs: int = EPOCHS) -> SpaceFile:
    """Three dimensions and nothing to train; the default sampler, and a pruner that stops trials as short as these."""
    dimensions = SearchSpace(x=Float(0, 1), y=Float(1e-5, 1, log=True), z=Int(1, 30), epochs=epochs)
    return SpaceFile(Path("space.py"), "space", dimensions, lambda config: iter(()), metric="score", pruner=ASHA())


def driver(url: str, name: str, trials: int, epochs: int = EPOCHS) -> Driver:
    """A driver with the callbacks of `search run` that look at the study."""
    study, file = open_study(url, name, space(epochs)), space(epochs)
    progress = Progress(Console(quiet=True), name)
    made = Driver(study, file, Rules(trials=trials), [progress, Notes(study)])
    progress.attach(made)
    return made


def through(made: Driver, times: list[float], until: float = math.inf, rate: float = math.inf, lanes: int = 1) -> None:
    """Run trials, `lanes` at a time, to their ends or until then; append each report's seconds, `rate` a second."""
    due = time.monotonic()
    live: list[ActiveTrial] = []
    while time.monotonic() < until:
        while len(live) < lanes and (job := made.next()) is not None:
            live.append(job)
        if not live:
            return
        for job in live.copy():
            score, step = -((job.settings["x"] - 0.3) ** 2) + 0.01 * job.last.step, job.last.step + 1
            message = Report(job.attempt, {"score": score, "seconds": 0.0}, step, last=step == EPOCHS)
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


_NOTHING = """
    from search import ASHA, Float, Int, SearchSpace

    pruner = ASHA()  # stops trials as short as these
    space = SearchSpace(x=Float(0, 1), y=Float(1e-5, 1, log=True), z=Int(1, 30), epochs=5)
    metric = "score"

    def train(config):
        for epoch in range(config["epochs"]):
            yield {"score": -((config["x"] - 0.3) ** 2) + 0.01 * epoch}
"""
_STEADY = """
    import os, time
    from pathlib import Path
    from search import ASHA, Float, SearchSpace

    pruner = ASHA()
    space = SearchSpace(x=Float(0, 1), epochs=EPOCHS)
    metric = "score"

    def train(config):
        there = Path(__file__).parent / "there"
        there.mkdir(exist_ok=True)
        (there / str(os.getpid())).touch()
        while len(list(there.iterdir())) < WORKERS:
            time.sleep(0.2)
        due = time.time()
        for epoch in range(config["epochs"]):
            due = max(due + 1 / RATE, time.time())  # who is late does not catch up
            time.sleep(max(0, due - time.time()))
            yield {"score": epoch, "at": time.time()}
"""
"""Every trial has the same value at each epoch, so that the pruner is asked and none is stopped."""


def _search(folder: Path, space: str, words: Sequence[str], command: Sequence[str], every: float) -> Watched:
    """A whole `search run` of the space in the folder, and the CPU seconds of its processes. Raises RuntimeError."""
    (folder / "space.py").write_text(textwrap.dedent(space))
    with watched(every) as used, (folder / "output").open("w") as output:
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
        words = [*command, "run", "space.py", *words]
        done = subprocess.run(words, cwd=folder, env=environment, stdout=output, stderr=output)
    if done.returncode:
        raise RuntimeError("\n".join((folder / "output").read_text().splitlines()[-5:]))
    return used


@dataclass(frozen=True)
class Block:
    """What a trial took in a part of a run: ms of the clock, and CPU ms of each part's processes."""

    wall: float
    cpu: dict[str, float]

    def __str__(self) -> str:
        cpu = ", ".join(f"{part} {ms:.1f}" for part, ms in self.cpu.items())
        return f"{self.wall:.1f} ms a trial; CPU ms: {cpu}"


def run(
    folder: Path, count: int, block: int, storage: str | None = None, lanes: int | None = None
) -> tuple[Block, Block]:
    """The first `block` trials, and the last, of a `search run` of so many trials that train nothing.

    `lanes`: how many run at a time. None: one a core.
    """
    url = storage or f"sqlite:///{folder}/studies.db"
    command = [str(Path(sys.executable).with_name("search"))]
    words = ["--trials", str(count), "--storage", url]
    words += ["--cpus-per-trial", _share(lanes)] if lanes is not None else []
    used = _search(folder, _NOTHING, words, command, every=1.0)
    trials = load_study(url, "space").get_trials(deepcopy=False)
    assert all(trial.state.is_finished() for trial in trials)
    ends = sorted(trial.datetime_complete.timestamp() for trial in trials if trial.datetime_complete)
    start = min(trial.datetime_start.timestamp() for trial in trials if trial.datetime_start)
    found = []
    for since, until in ((start, ends[block - 1]), (ends[-block - 1], ends[-1])):
        before, after = used.by(since), used.by(until)
        cpu = {part: (after[part] - before.get(part, 0.0)) / block * 1000 for part in after}
        found.append(Block((until - since) / block * 1000, cpu))
    return found[0], found[1]


def workers(folder: Path, count: int, seconds: float, rate: float = 10.0) -> tuple[np.ndarray, float, dict[str, float]]:
    """So many workers of one `search run`, which would each report `rate` epochs a second.

    Of the time in which all of them report: the seconds of each epoch from the yield in the worker to the end of the
    driver's transaction, the epochs a second, and the CPUs that the processes of each part kept busy.
    """
    times = folder / "times.json"
    epochs = round(seconds * rate)
    space = _STEADY.replace("EPOCHS", str(epochs)).replace("RATE", str(rate)).replace("WORKERS", str(count))
    words = ["--trials", str(count), "--cpus-per-trial", _share(count)]
    used = _search(folder, space, words, [sys.executable, "-m", "benchmarks.load", "timed", str(times)], every=0.5)
    rows = np.array(json.loads(times.read_text()))  # (epochs, 3): trial, yielded at, written at
    assert len(rows) == count * epochs
    since = max(rows[rows[:, 0] == trial, 1].min() for trial in range(count))
    until = min(rows[rows[:, 0] == trial, 1].max() for trial in range(count))
    steady = rows[(rows[:, 1] >= since) & (rows[:, 1] <= until)]
    before, after = used.by(since), used.by(until)
    busy = {part: (after[part] - before.get(part, 0.0)) / (until - since) for part in after}
    return steady[:, 2] - steady[:, 1], len(steady) / (until - since), busy


def _share(lanes: int) -> str:
    """The CPUs of a trial of which so many run at a time."""
    return str(math.floor(10_000 * _cores() / lanes) / 10_000)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _timed(times: Path, words: Sequence[str]) -> None:
    """The `search` command, which leaves in `times` of each epoch its trial, when it was yielded, and when written."""
    rows: list[tuple[int, float, float]] = []

    def record(trial: Any, attrs: Any, step: int, value: float | None) -> None:
        rdb.record(trial, attrs, step, value)
        rows.append((trial.number, attrs["epoch"]["at"], time.time()))

    sys.argv = ["search", *words]
    try:
        with patch("search.engine.driver.record", record):
            cli.main()
    finally:
        times.write_text(json.dumps(rows))


def main() -> None:
    if sys.argv[1:2] == ["timed"]:  # by workers() only
        _timed(Path(sys.argv[2]), sys.argv[3:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "workers", "trials", "reports"])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=10.0, help="epochs a second of each worker")
    parser.add_argument("--lanes", type=int, help="trials at a time of `run`, and of each driver")
    parser.add_argument("--storage")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = words.storage or f"sqlite:///{folder}/studies.db"
        if words.what == "run":
            block = min(1000, words.trials // 3)
            first, last = run(Path(folder), words.trials, block, words.storage, words.lanes)
            print(f"{1000 / first.wall:.1f} trials a second at first, {1000 / last.wall:.1f} in the end")
            print(f"first {block}: {first}\nlast {block} of {words.trials}: {last}")
            print(f"the last took {last.wall / first.wall:.2f} times what the first took, ", end="")
            print(f"{last.cpu['the driver'] / first.cpu['the driver']:.2f} times of the driver's CPU time")
        elif words.what == "trials":
            found = trials(url, words.trials)
            print(f"the last thousand took {found[-1] / found[0]:.2f} times what the first took")
        elif words.what == "workers":
            times, rate, busy = workers(Path(folder), words.workers, words.seconds, words.rate)
            print(f"{words.workers} workers: {_spread(times, rate)}")
            print("CPUs busy: " + ", ".join(f"{part} {share:.2f}" for part, share in busy.items()))
        else:
            times, errors = reports(url, words.workers, words.seconds, words.rate, words.lanes or 1)
            print(f"{_spread(times, len(times) / words.seconds)}; errors: {len(errors)} {errors[:1]}")


def _spread(times: np.ndarray, rate: float) -> str:
    median, high, longest = np.percentile(times, [50, 99, 100]) * 1000
    return f"{rate:.0f} epochs a second, median {median:.1f} ms, p99 {high:.1f} ms, longest {longest:.0f} ms"


if __name__ == "__main__":
    main()
