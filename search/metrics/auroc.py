"""AUROC: the chance that an image of a class gets a higher probability for it than an image of another class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from search.metrics.answers import Answers, Weights


def auroc(answers: Answers, weights: Weights) -> Weights:
    """The area under the ROC curve of each class against all others, in the mean of the classes: (1,), a fraction.

    Of classes that have images and are not all of them; ties count half (Hanley and McNeil, Radiology 143 (1982) 29).
    Without such a class it is 0.5. `weights` must be `once`. Raises ValueError if the logits were not kept.
    """
    if answers.scores is None:
        raise ValueError("the logits are not known")
    scores = answers.scores.astype(np.float64)
    scores = np.exp(scores - scores.max(1, keepdims=True))
    scores /= scores.sum(1, keepdims=True)
    columns, images = np.ascontiguousarray(scores.T), np.argsort(answers.labels, kind="stable")
    starts = np.searchsorted(answers.labels[images], np.arange(answers.classes + 1))
    areas = []
    for column, own in zip(columns, np.split(images, starts[1:-1]), strict=True):
        positives, others = np.sort(column[own]), len(images) - len(own)
        if len(positives) and others:
            below = _halves(np.sort(column), positives) - _halves(positives, positives)  # of the other classes
            areas.append(below.mean() / (2 * others))
    return np.array([np.mean(areas) if areas else 0.5])


def _halves(sorted_scores: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """Of each score twice the number of `sorted_scores` that are lower; those that are equal count once."""
    return np.searchsorted(sorted_scores, scores, "left") + np.searchsorted(sorted_scores, scores, "right")
