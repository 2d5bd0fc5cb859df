"""Run each side as its user does, in processes of its own, and read off when what happened."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from optuna.trial import FrozenTrial
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from search.study.study import load_study

HERE = Path(__file__).resolve().parent
SPACES = HERE / "spaces"


class BenchError(RuntimeError):
    """One of the sides did not run."""


@dataclass(frozen=True)
class Epoch:
    """One epoch of one trial: when it was reported (seconds since 1970), and how long it took."""

    trial: int
    at: float
    seconds: float

    @property
    def began(self) -> float:
        return self.at - self.seconds


@dataclass(frozen=True)
class Run:
    """One run of a command. `began` and `ended`: seconds since 1970."""

    began: float
    ended: float
    epochs: list[Epoch]
    trials: list[FrozenTrial] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def to_first_step(self) -> float:
        return min(epoch.began for epoch in self.epochs) - self.began

    @property
    def to_first_result(self) -> float:
        return min(epoch.at for epoch in self.epochs) - self.began

    @property
    def to_last_result(self) -> float:
        return max(epoch.at for epoch in self.epochs) - self.began

    @property
    def first_to_last(self) -> float:
        """Seconds from the first result to the last."""
        return self.to_last_result - self.to_first_result

    def cost(self, lanes: int) -> float:
        """Seconds of a lane that a trial takes beside its epochs.

        The first trials start their workers; from the first result on each lane ends one trial after another.
        """
        trials = len(self.epochs) - lanes
        return lanes * self.first_to_last / trials - statistics.median(epoch.seconds for epoch in self.epochs)

    def working(self, lanes: int) -> float:
        """The fraction of the time of `lanes` workers, from the first step to the last result, inside epochs."""
        span = max(epoch.at for epoch in self.epochs) - min(epoch.began for epoch in self.epochs)
        return sum(epoch.seconds for epoch in self.epochs) / (lanes * span)


def call(
    words: Sequence[str | Path], folder: Path, under: Sequence[str | Path] = (), **variables: str
) -> tuple[float, float]:
    """Run Python in `folder`, `under` another command; when it began and ended. Raises BenchError with what it said."""
    found = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    own = {"PYTHONPATH": found, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONDONTWRITEBYTECODE": ""}
    environment = {**os.environ, **own, **variables}  # compiled bytecode is a warm cache, too
    began = time.time()
    done = subprocess.run(
        [*under, sys.executable, *map(str, words)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"{' '.join(map(str, words))}: exit {done.returncode}\n{(done.stderr or done.stdout)[-2000:]}")
    return began, time.time()


@contextmanager
def temporary() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="search-bench-", dir="/tmp"))  # Ray's sockets need a short path
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _stamped(file: Path) -> list[Epoch]:
    pairs = [tuple(map(float, line.split())) for line in file.read_text().splitlines()]
    return [Epoch(0, end, end - began) for began, end in pairs]


def _from_tensorboard(folder: Path) -> list[Epoch]:
    """Every epoch of a run, from the event files that `search run` writes."""
    found = []
    for file in sorted(folder.glob("*/tensorboard/trial-*/events*")):
        for event in EventFileLoader(str(file)).Load():
            seconds = {value.tag: value.tensor.float_val for value in event.summary.value}.get("seconds")
            if seconds:
                found.append(Epoch(int(file.parent.name.removeprefix("trial-")), event.wall_time, seconds[0]))
    return found


def ours(space: Path, data_root: Path, *words: str, under: Sequence[str | Path] = ()) -> Run:
    """`search run SPACE` with a storage of its own; `words` are further options; `under` another command."""
    with temporary() as folder:
        stamps = folder / "stamps"
        main = "from search.cli import main; main()"
        command: list[str | Path] = ["-c", main, "run", space, "--data-root", data_root.resolve(), "--name", "bench"]
        began, ended = call([*command, *words], folder, under, BENCH_STAMPS=str(stamps))
        epochs = _stamped(stamps) if stamps.is_file() else _from_tensorboard(folder / "runs")
        trials = load_study(f"sqlite:///{folder / 'studies.db'}", "bench").get_trials(deepcopy=False)
    return Run(began, ended, epochs, trials)


def peer(images: Path, *words: str) -> Run:
    """`python -m benchmarks.peer IMAGES` with further options `words`."""
    with temporary() as folder:
        stamps = folder / "stamps"
        command: list[str | Path] = ["-m", "benchmarks.peer", images, "--stamps", stamps, "--out", folder]
        began, ended = call([*command, *words], folder, TMPDIR="/tmp")
        return Run(began, ended, _stamped(stamps))


def peer_epoch(images: Path, batches: int | None, warm: bool, *words: str) -> dict[str, float]:
    """What the peer measures of one epoch of one config, or of so many of its batches, without Tune, with all cores.

    `warm`: after one batch of training and one of validation.
    """
    code = """
import json, sys
from pathlib import Path
from benchmarks import peer
config = dict(lr=0.01, momentum=0.9, weight_decay=5e-5, step_size=15, gamma=0.1)
warm, *words = sys.argv[1:]
if warm == "True":
    next(peer.epochs(config, peer.arguments([*words, "--batches", "1"])))
Path("out").write_text(json.dumps(next(peer.epochs(config, peer.arguments(words)))))
"""
    part = ("--batches", str(batches)) if batches else ()
    with temporary() as folder:
        call(["-c", code, str(warm), images.resolve(), *words, *part], folder)
        found: dict[str, float] = json.loads((folder / "out").read_text())
    return found
