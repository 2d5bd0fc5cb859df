"""Intervals and tests by drawing the images again, for measures that have no formula."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from search.metrics.answers import Answers, Weights, once
from search.metrics.registry import Measure

SAMPLES = 1000
LEVEL = 0.95


@lru_cache(maxsize=2)
def draws(images: int) -> Weights:
    """SAMPLES samples of so many images, with replacement: (SAMPLES, images). The same ones every time."""
    generator = np.random.default_rng(0)
    return generator.multinomial(images, np.full(images, 1 / images), size=SAMPLES).astype(np.float64)


def interval(measure: Measure, answers: Answers) -> tuple[float, float]:
    """The 95% percentile interval of a measure (Efron and Tibshirani 1993, chapter 13)."""
    low, high = np.quantile(measure(answers, draws(len(answers.labels))), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def p_value(measure: Measure, one: Answers, other: Answers) -> float:
    """Two-sided p of the difference of two models on the same images, by the same draws for both.

    The difference in the samples, less the difference itself, is what chance makes of it; a difference that chance
    reaches in none of them has p = 1 / (1 + SAMPLES).
    """
    weights = draws(len(one.labels))
    whole = once(one)
    seen = float((measure(one, whole) - measure(other, whole))[0])
    drawn: NDArray[np.float64] = measure(one, weights) - measure(other, weights)
    chance = np.abs(drawn - seen) >= abs(seen) - 1e-12
    return float((1 + chance.sum()) / (1 + SAMPLES))
