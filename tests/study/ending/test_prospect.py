"""What more trials would gain."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import create_trial

from search.study.ending.prospect import FEWEST, Prospect, error_of, prospect, room, worth

VALUES = st.lists(st.floats(-1e300, 1e300), min_size=FEWEST, max_size=40)


@given(values=VALUES, pruned=st.integers(0, 200), more=st.integers(1, 100), most=st.floats(0, 1))
def test_it_is_ordered_and_bounded(values: list[float], pruned: int, more: int, most: float) -> None:
    found = prospect(values, len(values) + pruned, more, most)
    if math.isfinite(found.high):
        assert 0 <= found.low <= found.high <= most
        assert 0 <= found.mean <= most * (1 + 1e-9)


@given(st.lists(st.integers(0, 1000), min_size=FEWEST, max_size=40), st.integers(-3, 3), st.integers(-5, 5))
def test_it_follows_the_scale_and_not_the_place(values: list[int], scale: int, shift: int) -> None:
    one = prospect(values, 50)
    other = prospect([2.0**scale * value + shift for value in values], 50)
    assert other.mean == pytest.approx(2.0**scale * one.mean, abs=1e-9)
    assert other.high == pytest.approx(2.0**scale * one.high, abs=1e-9)


def test_more_trials_gain_more_and_trials_that_were_pruned_less() -> None:
    values = list(np.linspace(0.1, 0.9, 20))
    gains = [prospect(values, 20, more).mean for more in (1, 4, 16, 64)]
    assert gains == sorted(gains)
    assert gains[0] < gains[-1]
    assert prospect(values, 80).mean < prospect(values, 20).mean


def test_where_half_of_the_trials_are_as_good_as_the_best_nothing_is_gained() -> None:
    assert prospect([0.5] * 5 + [0.9] * 6, 11) == Prospect(16, 0.0, 0.0, 0.0)
    assert prospect([0.99, *[1.0] * 3, *[0.9] * 4], 8, most=0.0).high == 0


@pytest.mark.parametrize("seed", range(3))
def test_its_interval_holds_for_draws_of_one_distribution(seed: int) -> None:
    """Of numbers whose end it knows (a shape of -1/4), nine in ten gains lie below the upper end."""
    random, below, said, came = np.random.default_rng(seed), 0, 0.0, 0.0
    for _ in range(400):
        values = 1 - random.uniform(size=56) ** 0.25
        first, later = values[:40], values[40:]
        found, gain = prospect(list(first), 40), max(0.0, later.max() - first.max())
        below, said, came = below + (gain <= found.high), said + found.mean, came + gain
    assert 0.8 <= below / 400 <= 0.95
    assert said == pytest.approx(came, rel=0.3)


def test_an_accuracy_has_a_standard_error_by_its_images() -> None:
    trial = create_trial(value=0.9, user_attrs={"val_images": 900})
    assert error_of(trial, "val_acc") == pytest.approx(0.01)
    assert error_of(trial, "val_f1") is None
    assert error_of(create_trial(value=0.9), "val_acc") is None
    assert error_of(create_trial(value=90.0, user_attrs={"val_images": 900}), "val_acc") is None
    assert worth([0.5, 0.7, 0.9], 0.9, 0.01) == 0.005
    assert worth([0.5, 0.7, 0.9], 0.9, None) == pytest.approx(0.02)


@given(st.lists(st.floats(0, 1), min_size=FEWEST, max_size=40), st.integers(0, 100))
def test_a_gain_is_no_certainty(values: list[float], pruned: int) -> None:
    """The best of all draws is among the first with the probability of their share: here of a third or more."""
    assert prospect(values, len(values) + pruned).low == 0


@pytest.mark.parametrize("values", [[2.0**power for power in range(20)], list(np.geomspace(1, 1e11, 12))])
def test_where_values_grow_ever_faster_more_are_expected(values: list[float]) -> None:
    assert prospect(values, len(values)).high > 0


def test_a_gain_ends_where_the_metric_does() -> None:
    assert room([0.25, 0.75], True, "val_f1_score") == 0.25
    assert room([0.25, 0.75], True, "score") == room([0.25, 0.75], True, "reward") == math.inf
    assert room([25.0, 75.0], True, "val_acc") == 25
    assert room([25.0, 75.0], True, "reward") == math.inf
    assert room([-0.5, 0.75], True, "score") == math.inf
    assert room([-0.5, -0.25], False, "loss") == 0.25
    assert room([-0.5, 0.25], False, "log_likelihood") == math.inf
    losses = [-value for value in (0.0468, *np.linspace(0.3, 0.9, 15))]
    assert prospect(losses, 16, most=room(losses, False, "loss")).high <= 0.0468
