"""Macro F1: the mean over the classes of the harmonic mean of precision and recall."""

from __future__ import annotations

import numpy as np

from search.metrics.answers import Answers, Weights, counts, mean_over


def macro_f1(answers: Answers, weights: Weights) -> Weights:
    """2 TP / (2 TP + FP + FN) of each class that has images or is predicted, in the mean: (B,), fractions.

    Opitz and Burst, arXiv 1911.03347, their averaged F1. `weights`: (B, N).
    """
    total = counts(weights, answers.labels, answers.classes)
    called = counts(weights, answers.predicted, answers.classes)
    hit = counts(weights * (answers.labels == answers.predicted), answers.labels, answers.classes)
    both = total + called
    return mean_over(2 * hit / np.maximum(both, 1e-12), both > 0)
