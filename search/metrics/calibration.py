"""Expected calibration error: how far the probabilities are from the shares that turn out right."""

from __future__ import annotations

import numpy as np

from search.metrics.answers import Answers, Weights, counts

BINS = 15
"""Of equal width, as Guo et al. have them."""


def calibration_error(answers: Answers, weights: Weights) -> Weights:
    """The mean distance, over the images, of accuracy and confidence in bins of confidence: (B,), fractions.

    Guo et al., arXiv 1706.04599, equation 3. Zero is best. `weights`: (B, N).
    """
    sure = answers.confidence.astype(np.float64)
    bins = np.clip(np.ceil(sure * BINS).astype(np.int64) - 1, 0, BINS - 1)
    gap = (answers.labels == answers.predicted) - sure
    found: Weights = np.abs(counts(weights * gap, bins, BINS)).sum(1) / weights.sum(1)
    return found
