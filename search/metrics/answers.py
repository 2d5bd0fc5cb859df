"""What a model said of the images of a split, which every measure reads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]
"""(B, N): how often each image counts in each of B samples; `once` is every image once."""


class Answers(NamedTuple):
    """Of N images: `labels` and `predicted` classes, (N,); `confidence`, the probability of the predicted, (N,).

    `ranks`: the place of the true class among the likeliest, from 0, (N,); `scores`: the logits, (N, K). None where
    they were not kept.
    """

    labels: NDArray[np.integer]
    predicted: NDArray[np.integer]
    confidence: NDArray[np.floating]
    classes: int
    ranks: NDArray[np.integer] | None = None
    scores: NDArray[np.floating] | None = None


def once(answers: Answers) -> Weights:
    """Every image counts once: (1, N)."""
    return np.ones((1, len(answers.labels)))


def counts(weights: Weights, groups: NDArray[np.integer], number: int) -> Weights:
    """How much weight each of `number` groups has, (B, number); `groups`: the group of each image, (N,)."""
    order = np.argsort(groups, kind="stable")
    there, starts = np.unique(groups[order], return_index=True)
    found = np.zeros((len(weights), number))
    if len(there):
        found[:, there] = np.add.reduceat(weights[:, order], starts, axis=1)
    return found


def mean_over(values: Weights, present: NDArray[np.bool_]) -> Weights:
    """The mean of the values (B, K) over the classes that are `present`, (B,)."""
    total: Weights = np.where(present, values, 0.0).sum(1) / np.maximum(present.sum(1), 1)
    return total
