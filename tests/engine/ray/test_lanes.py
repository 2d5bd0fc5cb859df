"""How many workers are started, and when; which have stalled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from search.engine.ray.lanes import AMONG, BEHIND, GRACE, PAUSE, QUICK, SLOW, Backlog, Lanes, Stall


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_at_first_no_more_than_there_are_cpus_then_more_while_none_comes_free() -> None:
    clock = Clock()
    lanes = Lanes(lambda: 32, 2, clock)
    assert lanes.open(0) == 2
    for name in "ab":
        lanes.asks(name)
    clock.now += 60
    assert lanes.open(2) == 2  # these two are still being started
    lanes.works("a")
    assert lanes.open(2) == 3
    lanes.asks("c")
    for name in "bc":
        lanes.works(name)
    assert lanes.open(3) == 5


def test_short_trials_need_few_workers() -> None:
    clock = Clock()
    lanes = Lanes(lambda: 32, 2, clock)
    lanes.open(0)
    for number in range(100):
        clock.now += 0.02
        lanes.asks(str(number))
        lanes.works(str(number))
        lanes.ended(str(number))
        assert lanes.open(2) == 2
    clock.now += SLOW - 2
    lanes.asks("100")
    lanes.works("100")
    clock.now += 0.5
    lanes.ended("100")
    assert lanes.open(2) == 3
    for number in range(20):  # and then longer ones come
        lanes.works(str(number))
        clock.now += 1.5
        lanes.ended(str(number))
    assert lanes.open(3) == 5


def test_there_are_never_more_than_fit() -> None:
    lanes = Lanes(lambda: 3, 16, Clock())
    assert lanes.open(0) == 3


MEET = """
import time
from pathlib import Path
from search import Float, SearchSpace

space = SearchSpace(x=Float(0, 1))
metric, trials, here = "score", {count}, Path({folder!r})

def train(config):
    (here / str(config["x"])).touch()
    while len(list(here.iterdir())) < {count}:
        time.sleep(0.1)
    yield {{"score": config["x"]}}
"""


def test_a_first_epoch_may_last_for_hours_and_what_fits_runs_all_the_same(cli: Any, write: Any, tmp_path: Path) -> None:
    """Each trial waits for twice as many as there are CPUs before it reports."""
    (here := tmp_path / "here").mkdir()
    cpus = len(os.sched_getaffinity(0))
    write("space.py", MEET.format(count=2 * cpus, folder=str(here)))
    assert cli("run", "space.py", "--cpus-per-trial", 0.5, "--timeout", "60s").status == 0
    assert len(list(here.iterdir())) == 2 * cpus


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("search.engine.ray.lanes.time.monotonic", lambda: now[0])
    return now


def test_a_worker_that_is_silent_for_too_long_is_overdue(clock: list[float]) -> None:
    stall = Stall(5)
    assert stall.overdue(["a", "b"]) == []
    clock[0] += 3 * 5 + GRACE
    stall.heard("b")
    assert stall.overdue(["a", "b"]) == []
    clock[0] += 0.1
    assert stall.overdue(["a", "b"]) == ["a"]
    assert stall.overdue(["b"]) == []  # it has ended
    assert stall.overdue(["a", "b"]) == []  # and begins again


def test_without_a_limit_no_worker_is_overdue(clock: list[float]) -> None:
    stall = Stall(None)
    stall.heard("a")
    clock[0] += 1e6
    assert stall.overdue(["a"]) == []


def test_while_many_reports_wait_a_new_trial_does_too_but_for_a_moment() -> None:
    clock = Clock()
    backlog = Backlog(clock)

    def reports(count: int, after: float) -> None:
        for _ in range(count):
            backlog.waits()
            clock.now += after
            backlog.came()

    assert not backlog.puts_off(500)
    reports(BEHIND, QUICK / 2)
    assert backlog.puts_off(500)
    assert not backlog.puts_off(AMONG)  # of so few, that many never wait
    clock.now += PAUSE
    assert [backlog.puts_off(500) for _ in range(2)] == [False, True]  # one, and then again none
    reports(1, 2 * QUICK)
    assert not backlog.puts_off(500)
    reports(BEHIND, QUICK / 2)
    backlog.waits()
    assert backlog.puts_off(500)
    backlog.waits()  # nothing came
    assert not backlog.puts_off(500)
