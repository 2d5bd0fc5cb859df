"""Learning curves: every trial's metric over its epochs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial

from search.analysis.view import StudyView
from search.reporting.plots import canvas
from search.reporting.section import Section


def section(view: StudyView) -> Section | None:
    """Every trial's metric over its epochs; the pruned faded, the best in front."""
    best = canvas.drawable(view)[:1]
    others = [trial for trial in view.completed if trial not in best]
    groups = {
        "pruned": canvas.some(_curves(view.pruned), canvas.LINES),
        "completed": canvas.some(_curves(others), canvas.LINES),
        "best": _curves(best),
    }
    lines = [line for group in groups.values() for line in group]
    if not any(len(line) > 1 for line in lines):
        return None
    figure = Figure(figsize=(8, 4.5))
    axes = figure.subplots()
    for (label, group), color, width, alpha in zip(
        groups.items(), (canvas.FADED, canvas.DONE, canvas.BEST), (0.8, 1.0, 2.2), (0.35, 0.45, 1.0), strict=True
    ):
        if not group:
            continue
        axes.add_collection(LineCollection(group, colors=color, linewidths=width, alpha=alpha, label=label))
        if label == "pruned":  # where they were stopped; of one epoch there is no line
            ends = np.array([line[-1] for line in group])
            axes.scatter(ends[:, 0], ends[:, 1], s=7, color=color, alpha=0.6, linewidths=0)
    points = np.concatenate(lines)
    axes.set_xlim(points[:, 0].min() - 0.3, points[:, 0].max() + 0.3)
    axes.set_ylim(*canvas.limits(points[:, 1], view.sign))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))
    axes.set_xlabel("epoch")
    axes.set_ylabel(canvas.metric_label(view))
    axes.legend(loc="lower right" if view.sign > 0 else "upper right")
    note = canvas.drawn("pruned trials", len(groups["pruned"]), len(_with_curve(view.pruned)))
    note += canvas.drawn("completed trials", len(groups["completed"]), len(_with_curve(others)))
    which = f", the best (trial {best[0].number}) in front" if groups["best"] else ""
    text = f"Every trial after each of its epochs; the pruned faded{which}.{note}"
    return Section(text, "Learning curves", figure)


def _with_curve(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if any(map(canvas.fits, trial.intermediate_values.values()))]


def _curves(trials: Sequence[FrozenTrial]) -> list[canvas.Floats]:
    """(E, 2) a trial that has one: epoch and value, where that fits."""
    found = (np.array(sorted(trial.intermediate_values.items()), dtype=np.float64) for trial in _with_curve(trials))
    return [np.array([point for point in curve if canvas.fits(point[1])]) for curve in found]
