"""Which trials are statistically tied with the first, by what each got right of the same validation images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from search import predictions
from search.analysis.statistics import LEVEL, holm, mcnemar
from search.metrics.answers import Answers
from search.metrics.bootstrap import p_value
from search.metrics.registry import MEASURES
from search.predictions import Predictions
from search.study.attributes import TrialRecord, config_of, epoch_of


@dataclass(frozen=True)
class Ties:
    """The outcome of the tests: the best trial, and for each trial tested against it the p after Holm, by number."""

    first: FrozenTrial | None = None
    p: dict[int, float] = field(default_factory=dict)
    method: str = "exact McNemar test on the same images"

    def tied(self, trial: int) -> bool | None:
        """Whether the trial of that number is statistically tied with the first; None if it was not tested."""
        return self.p[trial] > 1 - LEVEL if trial in self.p else None


def images_of(trial: FrozenTrial) -> int | None:
    """The number of validation images that the trial was measured on, if it was recorded."""
    return TrialRecord(trial).val_images or None


def right_of(trial: FrozenTrial) -> int | None:
    """The number of them that it got right after its last epoch."""
    count, share = images_of(trial), epoch_of(trial).get("val_acc")
    return round(share * count) if count and isinstance(share, float) and 0 <= share <= 1 else None


def find(study: str, ranked: Sequence[FrozenTrial]) -> Ties:
    """Test every trial of `ranked` against its first: exact McNemar, Holm over the trials.

    The trials are COMPLETE ones of the study called `study`, ranked by validation accuracy. Only those measured on
    the same images whose predictions are in the run folder are tested. Holm does not know that the first was chosen as
    the best: of 8 equal configs, one differed from the best in 10 of 100 made-up studies, and each in 2.
    """
    sample = sample_of(ranked[0]) if ranked else None
    found = bits_of(study, [trial for trial in ranked if sample_of(trial) == sample])
    bits = found.pop(ranked[0].number, None) if ranked else None
    if bits is None:
        return Ties()
    if not found:
        return Ties(ranked[0])
    p = holm(paired(bits, np.stack(list(found.values()))))
    return Ties(ranked[0], dict(zip(found, p.tolist(), strict=True)))


MOST = 50
"""Of a measure that has no formula, so many of the best trials have an interval and are tested."""


def resampled(study: str, ranked: Sequence[FrozenTrial], metric: str) -> Ties:
    """As `find`, for a measure of `search.metrics`: by drawing the images again, for the first MOST trials."""
    sample = sample_of(ranked[0]) if ranked else None
    found = answers_of(study, [trial for trial in ranked[:MOST] if sample_of(trial) == sample], metric)
    first = found.pop(ranked[0].number, None) if ranked else None
    if first is None:
        return Ties()
    same = {number: other for number, other in found.items() if np.array_equal(other.labels, first.labels)}
    if not same:
        return Ties(ranked[0])
    p = holm([p_value(MEASURES[metric].measure, first, other) for other in same.values()])
    return Ties(ranked[0], dict(zip(same, p.tolist(), strict=True)), "bootstrap of the same images")


def answers_of(study: str, trials: Iterable[FrozenTrial], metric: str) -> dict[int, Answers]:
    """What each of the trials answered, by number; without those whose answers do not give the measure again."""
    known, found = MEASURES.get(metric), {}
    if known is None or not known.kept:
        return {}
    for trial in trials:
        made = predictions_of(study, trial)
        if made is not None and (made.ranks is not None or metric != "val_top5_acc"):
            confidence = made.confidence.astype(np.float64)
            found[trial.number] = Answers(made.labels, made.predicted, confidence, len(made.classes), made.ranks)
    return found


def sample_of(trial: FrozenTrial) -> tuple[int | None, Any, str | None]:
    """What tells the images that a trial was measured on from others: their number, the data set, its fingerprint."""
    return images_of(trial), config_of(trial).get("dataset"), TrialRecord(trial).data


def bits_of(study: str, trials: Iterable[FrozenTrial]) -> dict[int, NDArray[np.uint8]]:
    """Which images each trial got right, as packed bits (ceil(N / 8),), by number; without those that have no file."""
    counts = {trial.number: (images_of(trial), right_of(trial)) for trial in trials}
    return predictions.read_correct(
        study, {n: (c, r) for n, (c, r) in counts.items() if c is not None and r is not None}
    )


def predictions_of(study: str, trial: FrozenTrial) -> Predictions | None:
    """The trial's predictions for the validation images, if they are in the run folder."""
    count, right = images_of(trial), right_of(trial)
    return None if count is None or right is None else predictions.read(study, trial.number, count, right)


def ones(bits: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The number of set bits along the last axis: (..., B) -> (...)."""
    count: NDArray[np.int64] = np.bitwise_count(bits).sum(axis=-1, dtype=np.int64)
    return count


def paired(bits: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Exact McNemar p (R,) of each of `others` (R, B) against `bits` (B,), packed bits of the same images."""
    return mcnemar(ones(bits & ~others), ones(others & ~bits))
