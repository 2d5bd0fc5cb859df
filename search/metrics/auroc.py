"""AUROC: the chance that an image of a class gets a higher probability for it than an image of another class."""

from __future__ import annotations

import numpy as np

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
    areas = []
    for label in range(answers.classes):
        own = answers.labels == label
        positives, negatives = scores[own, label], np.sort(scores[~own, label])
        if len(positives) and len(negatives):
            below = np.searchsorted(negatives, positives, "left") + np.searchsorted(negatives, positives, "right")
            areas.append(below.mean() / (2 * len(negatives)))
    return np.array([np.mean(areas) if areas else 0.5])
