"""Stalled workers, by a clock that the test sets."""

from __future__ import annotations

import pytest

from search.engine.ray.stall import GRACE, Stall


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("search.engine.ray.stall.time.monotonic", lambda: now[0])
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
