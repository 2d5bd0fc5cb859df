"""A database that goes away, for long and often; and a load that no laptop has."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from live import Run, until
from postgres import Postgres
from soaking import SHARE, record, times
from study.storage.test_retry import COUNTS, Stored, locked, trained

from benchmarks import load

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

LONG = COUNTS.replace("else 0.05", "else 0.2")


@contextmanager
def away(postgres: Postgres, folder: Path, seconds: float) -> Iterator[None]:
    with postgres.away(seconds):
        yield


@contextmanager
def held(postgres: Postgres, folder: Path, seconds: float) -> Iterator[None]:
    here = Path.cwd()
    os.chdir(folder)
    try:
        with locked(seconds):
            yield
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    ("fault", "kind", "seconds", "count"),
    [
        (away, "postgresql", 0, 5),
        (away, "postgresql", 5, 5),
        (away, "postgresql", 30, 5),
        (away, "postgresql", 60, 5),
        (held, "sqlite", 20, 10),
    ],
)
def test_a_storage_that_is_away_costs_no_epoch(
    fault: Callable[..., AbstractContextManager[None]],
    kind: str,
    seconds: float,
    count: int,
    postgres: Postgres,
    request: pytest.FixtureRequest,
    folder: Callable[[str], Path],
) -> None:
    """One run, its storage gone `count` times; in the end every epoch that was trained is stored, and once."""
    place, left, epochs = folder(LONG), times(count), 0
    url = request.getfixturevalue("database") if kind == "postgresql" else f"sqlite:///{place}/studies.db"
    run = Stored(place, url, "--trials", "400")
    try:
        until(run.started, "Ray")
        for _ in range(left):
            more(run)
            with fault(postgres, place, seconds):
                pass
        more(run)
    finally:
        stop(run)
    for trial in run.trials():
        stored = sorted(trial.intermediate_values)
        assert stored == list(range(1, len(stored) + 1))
        done = trained(run, trial)
        assert len(done) - len(stored) <= 1  # the one in flight when the run was ended
        assert done[: len(stored)] == stored
        epochs += len(stored)
    assert "Traceback" not in run.output, run.output
    what, how = {
        "postgresql": ("PostgreSQL away", "stopped for"),
        "sqlite": ("SQLite locked", "by another process for"),
    }[kind]
    lost = f"none of the {epochs} epochs that were trained; none stored twice"
    record(f"{what} {seconds:g} s", f"{how} {seconds:g} s amid a run", left, lost)


def more(run: Run) -> None:
    """Wait until the storage has more epochs than now."""

    def stored() -> int:
        return sum(len(trial.intermediate_values) for trial in run.trials())

    known = stored()
    until(lambda: stored() > known, "an epoch")


def stop(run: Run) -> None:
    if run.process.poll() is None:
        os.killpg(run.process.pid, signal.SIGINT)
        run.process.wait(60)
    run.end()


def test_eight_drivers_on_one_postgresql(postgres: Postgres, database: str) -> None:
    """Eight processes, each with a study of its own and eight trials at a time: no error, no lost report."""
    seconds = max(20.0, 300 * SHARE)
    taken, errors = load.reports(database, 8, seconds, rate=8.0, lanes=8)
    assert errors == []
    stored = postgres.ask("SELECT count(*) FROM trial_intermediate_values", "studies")[0][0]
    assert stored == len(taken)
    low, high = np.percentile(taken, [50, 99]) * 1000
    how = f"8 trials each to a study of its own, {seconds:.0f} s long; a report takes {low:.0f} ms, p99 {high:.0f} ms"
    record("8 drivers report to one PostgreSQL", how, len(taken), "no report; no error")
