"""What earlier studies promise: pure functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from search.study.start.coordinates import Place, nearness
from search.study.start.scores import APART, DOUBT, WORST, Past, promise, spread_out, standings

UNIT = {"a": 1.0}


def at(*values: float) -> list[Place]:
    return [{"a": value} for value in values]


def test_the_best_stands_at_0_the_middle_at_minus_1_and_what_was_pruned_as_the_worst() -> None:
    assert standings([0.75, 0.5, 0.25, None]).tolist() == [0, -1, -2, -2]
    assert standings([0.75, 0.5, -50.0]).tolist() == [0, -1, WORST]
    assert standings([0.5, 0.5, None]).tolist() == [0, 0, 0]  # nothing to tell apart


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=20).filter(
        lambda v: any(x is not None for x in v)
    ),
    st.floats(0.1, 10),
    st.floats(-5, 5),
)
def test_a_standing_is_of_its_own_study_whatever_the_scale(values: list[Any], scale: float, shift: float) -> None:
    found = standings(values)
    moved = standings([None if value is None else round(scale * value + shift, 9) for value in values])
    assert ((found <= 0) & (found >= WORST)).all()
    done = [(value, stand) for value, stand in zip(values, found, strict=True) if value is not None]
    assert [stand for _, stand in sorted(done)] == sorted(stand for _, stand in done)
    assert max(stand for _, stand in done) == 0
    assert all(stand == min(found) for value, stand in zip(values, found, strict=True) if value is None)
    if len({value for value in values if value is not None}) > 1 and np.ptp([v for v, _ in done]) > 1e-3:
        assert np.isfinite(moved).all()


def test_near_its_best_a_study_promises_more_and_far_from_all_its_lower_quantile() -> None:
    past = Past("s", at(0, 1, 2, 3, 4), np.array([-3.0, -2.0, 0.0, -2.0, -3.0]))
    near, worse, far = promise(past, at(2, 0, 1000), UNIT)
    assert near > worse
    assert math.isclose(far, np.quantile(past.standing, DOUBT))


def test_of_a_coordinate_that_a_study_never_varied_it_knows_nothing() -> None:
    past = Past("s", [{"a": 0.0, "b": 9.0}, {"a": 5.0, "b": 9.0}], np.array([0.0, -3.0]))
    here, there = promise(past, [{"a": 0.0, "b": 0.0}, {"a": 0.0, "b": 100.0}], {"a": 1.0, "b": 1.0})
    assert here == there


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=12), st.integers(1, 6))
def test_the_best_comes_first_and_no_two_are_near_each_other(values: list[float], count: int) -> None:
    places, score = at(*values), -np.abs(np.array(values))
    chosen = spread_out(score, places, UNIT, count)
    assert score[chosen[0]] == score.max()
    assert 1 <= len(chosen) <= count
    near = nearness([places[i] for i in chosen], [places[i] for i in chosen], UNIT)
    assert (near[~np.eye(len(chosen), dtype=bool)] <= APART).all()
