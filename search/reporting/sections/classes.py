"""How the best trial does on each class, the worst first."""

from __future__ import annotations

import numpy as np

from search.analysis.statistics import wilson
from search.analysis.view import StudyView
from search.metrics.answers import Answers
from search.metrics.per_class import PerClass, per_class
from search.predictions import Predictions
from search.reporting.columns import escape_cell
from search.reporting.section import Section

COUNT = 20
"""At most so many classes are listed."""


def section(view: StudyView) -> Section | None:
    """Recall and precision of the classes; None where the best trial's predictions are not in the run folder."""
    made = view.best_predictions
    if made is None or view.best is None:
        return None
    return Section(f"Of trial {view.best.number}. {of(made)}", "Class by class", data={"classes": _data(made)})


def of(made: Predictions) -> str:
    """A table with a row for each class, that of the lowest recall first, and a sentence before it."""
    found = _per_class(made)
    order = found.worst_first
    rows = ["| Class | Recall (95% interval) | Precision | Images |", "|:--|:--|:--|:--|"]
    for label in order[:COUNT]:
        low, high = wilson(int(found.right[label]), int(found.images[label]))
        precise = f"{found.precision[label]:.3f}" if found.called[label] else "never predicted"
        recall = f"{found.recall[label]:.3f} ({low:.3f} to {high:.3f})"
        rows.append(f"| {escape_cell(made.classes[label])} | {recall} | {precise} | {found.images[label]} |")
    which = f"The {COUNT} worst of {len(order)} classes" if len(order) > COUNT else "Each class"
    return f"{which} on the validation images, the worst first:\n\n" + "\n".join(rows)


def _per_class(made: Predictions) -> PerClass:
    return per_class(Answers(made.labels, made.predicted, made.confidence, len(made.classes)))


def _data(made: Predictions) -> list[dict[str, object]]:
    found = _per_class(made)
    return [
        {
            "class": made.classes[label],
            "images": int(found.images[label]),
            "recall": float(found.recall[label]),
            "precision": None if np.isnan(found.precision[label]) else float(found.precision[label]),
        }
        for label in found.worst_first
    ]
