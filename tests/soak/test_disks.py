"""Disks that are full: a small one of its own under the storage, the checkpoints, or what else a run leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from live import until
from optuna.trial import TrialState
from soaking import DIGITS, FEW, Subject, draw, fill, goes_on, mounted, record, times, unmount, wait_for

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


@contextmanager
def disk(place: Path, size: str) -> Iterator[Path]:
    mounted(place, size)
    try:
        yield place
    finally:
        unmount(place)


def test_the_storages_disk(folder: Callable[[str], Path]) -> None:
    chance, count, told = draw("storage"), times(5), 0
    try:
        for _ in range(count):
            home = folder(DIGITS)
            with disk(home / "storage", "8m") as small:
                url = f"sqlite:///{small}/studies.db"
                subject = Subject(home, "--trials", str(FEW), "--storage", url, storage=url)
                run = subject.start()
                try:
                    until(goes_on(subject, run), "an epoch")
                    wait_for(run, chance.uniform(0, 2))
                    ballast = fill(small)
                    assert run.process.wait(120) == 3, run.output
                finally:
                    subject.gone(run, set())
                assert "Traceback" not in run.output, run.output
                last = run.output.strip().splitlines()[-1]
                assert last.startswith("search: storage"), run.output
                assert "to go on: search run" in last
                ballast.unlink()
                subject.look()
                subject.finish(FEW)
                told += 1
    finally:
        record(
            "disk of the storage full",
            "a disk of 8 MB, filled while trials run; the run ends with status 3 and one line, and goes on with room",
            told,
            "the epochs in flight",
        )


@pytest.mark.parametrize(
    ("what", "fault"),
    [
        ("checkpoints", "disk of the checkpoints full"),
        ("tensorboard", "disk of the TensorBoard files full"),
        ("answers", "disk of the predictions full"),
        ("weights", "disk of the weights full"),
    ],
)
def test_a_disk_that_the_run_can_do_without(what: str, fault: str, folder: Callable[[str], Path]) -> None:
    chance, count, done = draw(what), times(5), 0
    try:
        for _ in range(count):
            home = folder(DIGITS)
            with disk(home / "runs" / "space" / what, "256k") as small:
                subject = Subject(home, "--trials", str(FEW))
                if what != "checkpoints" or chance.random() < 0.5:
                    ballast = fill(small)  # full from the beginning
                    run = subject.start()
                else:
                    run = subject.start()
                    until(goes_on(subject, run), "an epoch")
                    ballast = fill(small)
                try:
                    assert run.process.wait(600) == 0, run.output
                finally:
                    subject.gone(run, set())
                assert "No space left on device" in run.output or "disk" in run.output.lower(), run.output
                assert "Traceback" not in run.output, run.output
                ballast.unlink()
                trials = subject.finish(FEW)
                assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
                done += 1
    finally:
        record(fault, "a disk of 256 kB, filled; one line says so, and the run goes on to its end", done, "those files")
