"""Intervals and tests against SciPy's on the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import binomtest

from search.analysis.statistics import difference, holm, mcnemar, next_draw, paired_difference, welch, wilson

SHARES = st.integers(1, 5000).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count)))


@given(SHARES)
def test_wilson_is_scipys(share: tuple[int, int]) -> None:
    right, count = share
    low, high = wilson(right, count)
    expected = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= low <= right / count <= high <= 1


@pytest.mark.parametrize("share", [(0, 0), (-1, 3), (4, 3)])
def test_no_share(share: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="right of"):
        wilson(*share)


def test_the_difference_is_newcombes() -> None:
    """His own examples: Table II of the paper, contrasts a and c, to its four digits."""
    assert difference(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert difference(9, 10, 3, 10) == pytest.approx((0.1705, 0.8090), abs=5e-5)


def test_the_paired_difference_holds_the_truth_in_95_of_100() -> None:
    shares = np.array([0.8, 0.07, 0.05, 0.08])  # both right, A alone, B alone, neither
    tables = np.random.default_rng(0).multinomial(500, shares, size=1000).tolist()
    found = [paired_difference(both, only_a, only_b, 500) for both, only_a, only_b, _ in tables]
    assert 930 <= sum(low <= 0.02 <= high for low, high in found) <= 970
    apart = [difference(both + only_a, 500, both + only_b, 500) for both, only_a, only_b, _ in tables]
    wider = [high - low < b - a for (low, high), (a, b) in zip(found, apart, strict=True)]
    assert all(wider)  # what it is for


def test_the_paired_difference_at_its_ends() -> None:
    assert paired_difference(25, 25, 25, 100) == pytest.approx(difference(50, 100, 50, 100))  # no correlation
    for both in (0, 10):  # no product to divide by
        low, high = paired_difference(both, 0, 0, 10)
        assert -0.3 < low == -high < 0
    low, high = paired_difference(0, 10, 0, 10)
    assert 0.6 < low < high == 1


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=20))
def test_mcnemar_is_the_binomial_test(pairs: list[tuple[int, int]]) -> None:
    only_a, only_b = (np.array(side) for side in zip(*pairs, strict=True))
    found = mcnemar(only_a, only_b)
    expected = [binomtest(a, a + b).pvalue if a + b else 1.0 for a, b in pairs]
    assert found == pytest.approx(expected, rel=1e-9)
    assert mcnemar(only_b, only_a) == pytest.approx(found)


def test_holm_on_numbers_done_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert list(holm([])) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.001, 0.2))
def test_holm_rejects_what_the_step_down_rejects(p: list[float], level: float) -> None:
    adjusted = holm(p)
    rejected = set()
    for step, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        if p[index] * (len(p) - step) > level:
            break
        rejected.add(index)
    assert {i for i, value in enumerate(adjusted) if value <= level} == rejected
    assert all(p[i] <= adjusted[i] <= 1 for i in range(len(p)))


SEEDS = st.lists(st.integers(0, 450).map(lambda right: right / 450), min_size=2, max_size=8)


@pytest.mark.filterwarnings("ignore:Precision loss")  # scipy's, where all values of one side are equal
@given(SEEDS, SEEDS)
def test_welch_is_scipys(a: list[float], b: list[float]) -> None:
    found = welch(a, b)
    if max(a) == min(a) and max(b) == min(b):
        assert found is None
        return
    assert found is not None
    expected = stats.ttest_ind(a, b, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert found[0] == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-9)
    assert found[1:] == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-9)


def test_one_seed_says_nothing() -> None:
    assert welch([0.9], [0.8, 0.7]) is None
    assert next_draw([0.9]) is None


def test_one_more_draw_falls_inside_in_95_of_100_cases() -> None:
    draws = np.random.default_rng(0).normal(0.9, 0.01, (4000, 4))
    inside = 0
    for *known, new in draws.tolist():
        low, high = next_draw(known) or (0.0, 0.0)
        inside += low <= new <= high
    assert 0.94 < inside / len(draws) < 0.96
