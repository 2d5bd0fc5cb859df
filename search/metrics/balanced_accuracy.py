"""Balanced accuracy: the mean over the classes of the share of their images that is named right."""

from __future__ import annotations

import numpy as np

from search.metrics.answers import Answers, Weights, counts, mean_over


def balanced_accuracy(answers: Answers, weights: Weights) -> Weights:
    """The mean recall of the classes that have images, a fraction for each sample: (B,).

    Brodersen et al., ICPR 2010. `weights`: (B, N).
    """
    total = counts(weights, answers.labels, answers.classes)
    hit = counts(weights * (answers.labels == answers.predicted), answers.labels, answers.classes)
    return mean_over(hit / np.maximum(total, 1e-12), total > 0)
