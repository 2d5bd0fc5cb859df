"""What every soak test shares: a study that is run again after each fault, the check after it, and the table.

`SOAK` is the share of the full counts, `SOAK_SEED` what the random moments are drawn from, and `SOAK_PAGE` a page whose
table gets the rows.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from live import WAIT, Run, read, until
from optuna.trial import FrozenTrial, TrialState

from search import TrainConfig
from search.errors import SearchError
from search.study.study import load_study
from search.train import train

SHARE = float(os.environ.get("SOAK", "1"))
SEED = int(os.environ.get("SOAK_SEED", time.time_ns() % 10**6))
PAGE = Path(page).absolute() if (page := os.environ.get("SOAK_PAGE")) else None  # tests go elsewhere
HEAD = ["fault", "how", "times", "lost", "date"]
ENDS = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def times(full: int) -> int:
    """How often, of so many in a full soak."""
    return max(1, round(full * SHARE))


def draw(test: str) -> random.Random:
    """The random moments of a test, which its name and the seed settle."""
    print(f"SOAK_SEED={SEED}")  # pytest shows it where the test fails
    return random.Random(f"{test} {SEED}")


def record(fault: str, how: str, count: int, lost: str) -> None:
    """Put a row into the page's table, in place of an earlier one of that fault."""
    row = [fault, how, str(count), lost, time.strftime("%Y-%m-%d", time.gmtime())]
    print("| " + " | ".join(row) + " |")
    if PAGE:
        before, table, after = re.split(r"(?<=<!-- soak -->\n)(.*?)(?=<!-- end -->)", PAGE.read_text(), flags=re.DOTALL)
        rows = [line.strip("| \n").split(" | ") for line in table.splitlines()[2:]]
        rows = [row if old[0] == fault else old for old in rows] + [row] * all(old[0] != fault for old in rows)
        lines = [f"| {' | '.join(cells)} |" for cells in [HEAD, ["---"] * len(HEAD), *rows]]
        PAGE.write_text(before + "\n".join(lines) + "\n" + after)


DIGITS = f"""
    from search import Float, SearchSpace

    space = SearchSpace(
        model="cnn", dataset="digits", epochs=24, batch_size=32, lr=Float(0.005, 0.1, log=True), step_size=9, gamma=0.5,
        subset={None if SHARE >= 1 else 360},  # a part of a soak trains a quarter as much between its faults
    )
    trials = 24
"""
TRIALS, FEW = 24, 6


class Subject:
    """A study that is run again and again, and what was seen of it."""

    def __init__(self, folder: Path, *words: str, storage: str | None = None) -> None:
        """`storage`: a URL, by default SQLite's in the folder."""
        self.folder, self.words = folder, words
        self.storage = storage or f"sqlite:///{folder}/studies.db"
        self.runs = 0
        self.trained_again: list[tuple[int, float]] = []
        """Of each interruption of a trial that could go on: epochs reported before it and trained again; seconds."""
        self._seen: list[FrozenTrial] = []

    def start(self, **options: Any) -> Run:
        """The command again, with the `options` of Run; Ray Tune takes part now and then, unless words say."""
        every = 2 if SHARE >= 1 else 3  # a part of a soak is short
        engine = () if "--engine" in self.words or (self.runs + 1) % every else ("--engine", "tune")
        self.runs += 1
        return Run(self.folder, *self.words, *engine, **options)

    def trials(self) -> list[FrozenTrial]:
        try:
            return load_study(self.storage, "space").get_trials()
        except SearchError:  # not yet
            return []

    def look(self) -> list[FrozenTrial]:
        """Check that nothing is lost or told twice since the last look."""
        now = self.trials()
        assert len(now) >= len(self._seen)
        assert [trial.number for trial in now] == list(range(len(now)))
        for old, new in zip(self._seen, now, strict=False):
            assert (new.number, new.params.items() >= old.params.items()) == (old.number, True)
            assert new.intermediate_values.items() >= old.intermediate_values.items(), f"{new.number} lost epochs"
            self._count_again(old, new)
            if old.state in ENDS:  # nothing is told twice
                assert (new.state, new.values, new.datetime_complete) == (old.state, old.values, old.datetime_complete)
                assert new.intermediate_values == old.intermediate_values
        for trial in now:
            steps = list(trial.intermediate_values)
            assert steps == list(range(1, len(steps) + 1)), f"the epochs of {trial.number} are {steps}"
        self._seen = now
        return now

    def _count_again(self, old: FrozenTrial, new: FrozenTrial) -> None:
        """Of a trial that was interrupted at or after the last look and has gone on: how much was trained again."""
        known, entries = len(old.user_attrs.get("resumed_after", [])), new.user_attrs.get("resumed_after", [])
        if old.last_step and len(entries) > known:
            again = max(0, old.last_step - entries[known])
            seconds = again * new.user_attrs["epoch"]["machine_seconds"] / (new.last_step or 1)
            self.trained_again.append((again, seconds))

    def gone(self, run: Run, temp: set[Path]) -> None:
        """Check that a run which has ended or was killed left no process and no folder; `temp`: what it had."""
        try:
            run.process.wait(WAIT)
            until(lambda: not run.alive(), f"the end of {run.alive()}")
            until(lambda: not [path for path in temp if path.exists()], f"the end of {temp}")
        finally:
            run.end()

    def finish(self, count: int, status: int = 0) -> list[FrozenTrial]:
        """Run the same command to its end, and check all that is left; `count`: the trials that it shall have."""
        run = self.start()
        try:
            temp: set[Path] = set()
            while run.process.poll() is None:
                temp |= run.temp()
                time.sleep(0.5)
            assert run.process.wait() == status, run.output
        finally:
            self.gone(run, temp)
        assert "Traceback" not in run.output, run.output
        trials = self.look()
        assert [trial.state for trial in trials if trial.state not in ENDS] == []
        assert len(trials) == count
        for trial in trials:
            assert (trial.state == TrialState.FAIL) == bool(trial.user_attrs.get("error")), trial
            if trial.state == TrialState.COMPLETE:
                assert trial.value == trial.intermediate_values[trial.user_attrs["config"]["epochs"]]
        assert load_study(self.storage, "space").user_attrs["driver"] is None
        assert self.left() == []
        return trials

    def left(self) -> list[Path]:
        """Temporary files, and those of trials that have ended, as far as they are nobody's."""
        runs = self.folder / "runs" / "space"
        weights = len(list(runs.glob("weights/*")))
        some = [path for path in self.folder.rglob("*") if path.name.endswith((".part", ".tmp"))]
        return some + list(runs.glob("checkpoints/*")) + (list(runs.glob("weights/*")) if weights > 1 else [])


def said_again(found: Sequence[tuple[int, float]]) -> str:
    """What was trained again (Subject.trained_again), in words, checked against the 30 seconds."""
    for epochs, seconds in found:
        assert epochs <= 1 or seconds <= 30, found
    if not found:
        return "nothing"
    most = max(found)
    total, seconds = (sum(column) for column in zip(*found, strict=True))
    return (
        f"no reported epoch; {total} epochs ({seconds:.1f} s) trained again in {len(found)} "
        f"interruptions, at most {most[0]} ({most[1]:.1f} s)"
    )


def wait_for(run: Run, seconds: float) -> bool:
    """Whether the run ends within so many seconds."""
    try:
        run.process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def trainers(run: Run) -> list[int]:
    """The training processes: children of the fork server."""
    alive = run.alive()
    forks = {pid for pid, line in alive.items() if "search.engine.processes.forkserver" in line}
    return sorted(pid for pid in forks if _parent(pid) in forks)


def node(run: Run) -> list[int]:
    """The servers of the run's Ray."""
    return [pid for pid, line in run.alive().items() if line.split(" ")[0].endswith(("gcs_server", "raylet"))]


def _parent(pid: int) -> int:
    fields = read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return int(fields[1]) if fields else 0


def mounted(place: Path, size: str) -> None:
    """Mount an empty disk of its own at `place`; skips, loudly, where that is not allowed."""
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no disk of our own ({done.stderr.strip()}): this test did NOT run")


def unmount(place: Path) -> None:
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> Path:
    """Fill the disk at `place`; the file that does."""
    ballast = place / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (2**16, 2**9, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return ballast


def goes_on(subject: Subject, run: Run) -> Callable[[], bool]:
    """Whether the run has ended, or reported an epoch since now."""
    before = sum(len(trial.intermediate_values) for trial in subject.trials())
    return lambda: run.process.poll() is not None or sum(len(t.intermediate_values) for t in subject.trials()) > before


def same_as_alone(trials: list[FrozenTrial], chance: random.Random) -> int:
    """Check that an interrupted trial has the numbers of one that never was; of how many epochs."""
    resumed = [trial for trial in trials if trial.user_attrs.get("resumed_after")]
    if not resumed:
        return 0
    trial = chance.choice(resumed)
    config = TrainConfig(**trial.user_attrs["config"])
    epochs = train(config, threads=trial.user_attrs["ran_on"]["threads"])
    alone = {epoch.epoch: epoch.val_acc for epoch, _ in zip(epochs, trial.intermediate_values, strict=False)}
    assert trial.intermediate_values == alone
    return len(alone)
