"""Precision and recall of each class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.metrics.answers import Answers, counts, once


class PerClass(NamedTuple):
    """Of K classes, (K,): how many images each has, how many of them are right, and how often it is predicted."""

    images: NDArray[np.int64]
    right: NDArray[np.int64]
    called: NDArray[np.int64]

    @property
    def recall(self) -> NDArray[np.float64]:
        """The share of its images that is named so; NaN where it has none."""
        return np.where(self.images > 0, self.right / np.maximum(self.images, 1), np.nan)

    @property
    def precision(self) -> NDArray[np.float64]:
        """The share that is right of the images that are named so; NaN where none is."""
        return np.where(self.called > 0, self.right / np.maximum(self.called, 1), np.nan)

    @property
    def worst_first(self) -> NDArray[np.int64]:
        """The classes that have images, that of the lowest recall first."""
        seen = np.flatnonzero(self.images)
        order: NDArray[np.int64] = seen[np.argsort(self.recall[seen], kind="stable")]
        return order


def per_class(answers: Answers) -> PerClass:
    """Counts of each class."""
    whole = once(answers)
    right = counts(whole * (answers.labels == answers.predicted), answers.labels, answers.classes)
    parts = counts(whole, answers.labels, answers.classes), right, counts(whole, answers.predicted, answers.classes)
    return PerClass(*(part[0].astype(np.int64) for part in parts))
