"""Who says nothing for too long, by a clock that the test turns."""

from __future__ import annotations

import pytest

from search.engine.ray.silence import GRACE, Silence


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("search.engine.ray.silence.time.monotonic", lambda: now[0])
    return now


def test_who_is_silent_for_longer_than_a_worker_would_be_is_overdue(clock: list[float]) -> None:
    watch = Silence(5)
    assert watch.overdue(["a", "b"]) == []
    clock[0] += 2 * 5 + GRACE
    watch.heard("b")
    assert watch.overdue(["a", "b"]) == []
    clock[0] += 0.1
    assert watch.overdue(["a", "b"]) == ["a"]
    assert watch.overdue(["b"]) == []  # it has ended
    assert watch.overdue(["a", "b"]) == []  # and begins again


def test_without_a_limit_nobody_is(clock: list[float]) -> None:
    watch = Silence(None)
    watch.heard("a")
    clock[0] += 1e6
    assert watch.overdue(["a"]) == []
