"""Top-5 accuracy: the share of the images whose class is among the five likeliest."""

from __future__ import annotations

import numpy as np

from search.metrics.answers import Answers, Weights

TOP = 5


def top5_accuracy(answers: Answers, weights: Weights) -> Weights:
    """A fraction for each sample: (B,). Where there are no more than five classes it is 1. `weights`: (B, N).

    Raises ValueError if the ranks of the true classes were not kept.
    """
    if answers.ranks is None:
        raise ValueError("the ranks of the true classes are not known")
    found: Weights = weights @ (answers.ranks < TOP).astype(np.float64) / weights.sum(1)
    return found
