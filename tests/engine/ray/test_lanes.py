"""How many workers are started, and when."""

from __future__ import annotations

from search.engine.ray.lanes import SLOW, Lanes


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
