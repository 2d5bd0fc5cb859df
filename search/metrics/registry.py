"""The measures by the names under which an epoch has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from search.metrics.answers import Answers, Weights, once
from search.metrics.auroc import auroc
from search.metrics.balanced_accuracy import balanced_accuracy
from search.metrics.calibration import calibration_error
from search.metrics.f1 import macro_f1
from search.metrics.top5 import top5_accuracy

Measure = Callable[[Answers, Weights], Weights]


class Known(NamedTuple):
    """A measure, its column, and whether the answers that a run keeps are enough to resample it."""

    measure: Measure
    title: str
    kept: bool = True


MEASURES: dict[str, Known] = {
    "val_balanced_acc": Known(balanced_accuracy, "BALANCED ACC"),
    "val_f1": Known(macro_f1, "MACRO F1"),
    "val_top5_acc": Known(top5_accuracy, "TOP-5 ACC"),
    "val_auroc": Known(auroc, "AUROC", kept=False),
    "val_ece": Known(calibration_error, "CALIBRATION ERROR"),
}
"""By their names in `entry_points.METRICS`."""


def measured(name: str, answers: Answers) -> float:
    """One measure of all images."""
    return float(MEASURES[name].measure(answers, once(answers))[0])
