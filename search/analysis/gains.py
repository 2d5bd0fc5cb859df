"""The best of the search against the best hand-tuned row, and against the best of those that were trained here."""

from __future__ import annotations

from dataclasses import dataclass

from optuna.trial import FrozenTrial

from search.analysis.statistics import difference, paired_difference
from search.analysis.ties import bits_of, images_of, ones, right_of, sample_of
from search.analysis.view import StudyView
from search.study.attributes import TrialRecord, value_of


@dataclass(frozen=True)
class Gain:
    """A trial against a row of the baselines file, by validation accuracy."""

    best: FrozenTrial
    row: str
    accuracy: float
    """The row's."""
    gain: float
    interval: tuple[float, float] | None
    """95%, Newcombe. None: the number of images behind the row is not known."""


@dataclass(frozen=True)
class PairedGain:
    """A trial against a hand-tuned row that was trained in the same study, image by image."""

    best: FrozenTrial
    row: FrozenTrial
    images: int
    only_best: int
    """Images that only the best trial got right."""
    only_row: int
    interval: tuple[float, float]
    """95%, Newcombe, paired."""


def gains(view: StudyView) -> tuple[Gain | None, PairedGain | None]:
    """Neither, unless an accuracy ranks the trials and one of them is no hand-tuned row.

    A row that the second already compares is not compared by the first.
    """
    best = next((trial for trial in view.done if TrialRecord(trial).baseline is None), None)
    if not view.by_accuracy or best is None:
        return None, None
    row, paired = view.best_baseline, _paired(view, best)
    if row is None or (paired and TrialRecord(paired.row).baseline == row.name):
        return None, paired
    images, right, interval = images_of(best), right_of(best), None
    if images is not None and right is not None and abs(row.val_acc * images - round(row.val_acc * images)) <= 1e-3:
        interval = difference(right, images, round(row.val_acc * images), images)
    return Gain(best, row.name, row.val_acc, (value_of(best) or 0.0) - row.val_acc, interval), paired


def _paired(view: StudyView, best: FrozenTrial) -> PairedGain | None:
    """None without the predictions of both."""
    row = next((trial for trial in view.done if TrialRecord(trial).baseline is not None), None)
    images = images_of(best)
    if row is None or images is None or sample_of(best) != sample_of(row):
        return None
    bits = bits_of(view.name, (best, row))
    if len(bits) < 2:
        return None
    a, b = bits[best.number], bits[row.number]
    only_best, only_row, both = (int(ones(bits)) for bits in (a & ~b, b & ~a, a & b))
    return PairedGain(best, row, images, only_best, only_row, paired_difference(both, only_best, only_row, images))
