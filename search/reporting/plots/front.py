"""The objectives against each other: the first, and each further one in a panel of its own."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial

from search.analysis import front
from search.analysis.view import StudyView
from search.reporting.plots import canvas
from search.reporting.section import Section


def section(view: StudyView) -> Section | None:
    """The completed trials, those that no other beats in all objectives, and the front of each panel as a line."""
    done = front.done(view)
    if not view.several or len(done) < 2:
        return None
    further = [*range(1, len(view.metrics))][: canvas.PANELS]
    columns = min(len(further), ACROSS)
    rows = -(-len(further) // columns)
    figure = Figure(figsize=(6 if columns == 1 else 4.5 * columns, 4.5 * rows))
    panels = figure.subplots(rows, columns, squeeze=False).flat
    few = canvas.some(done, canvas.POINTS)
    for axes, place in zip(panels, further, strict=False):
        _panel(axes, view, place, few)
    for axes in [*panels][len(further) :]:
        axes.remove()
    note = canvas.drawn("trials", len(few), len(done)) + canvas.drawn("objectives", len(further) + 1, len(view.metrics))
    if len(view.metrics) == 2:
        text = f"The two objectives, and the trials that no other beats in both.{note}"
        return Section(text, "The two objectives", figure)
    text = (
        f"{view.metrics[0]} against each further objective. The larger points are the trials that no other beats in "
        f"all {len(view.metrics)}; a line joins those that no other beats in the two of its panel.{note}"
    )
    return Section(text, "The objectives", figure)


def _panel(axes: Axes, view: StudyView, place: int, few: list[FrozenTrial]) -> None:
    """The first objective and that at `place`: `few` of the completed trials, the whole front."""
    values = np.array([[trial.values[0], trial.values[place]] for trial in few])
    axes.scatter(
        values[:, 0], values[:, 1], s=14, color=canvas.DONE, alpha=0.45, linewidths=0, label="a completed trial"
    )
    steps = np.array([[step.best, step.limit] for step in front.under(view, place)])
    if len(view.metrics) == 2:
        axes.plot(*steps.T, "o-", color=canvas.BEST, markersize=5, linewidth=1, label="not beaten in both")
    else:
        axes.plot(*steps.T, "-", color=canvas.BEST, linewidth=1, label="not beaten in the two")
        best = [trial.values for trial in view.ranked if all(map(canvas.fits, trial.values))]
        axes.plot(*np.array(best)[:, [0, place]].T, "o", color=canvas.BEST, markersize=5, label="not beaten in all")
    axes.set_xlabel(_label(view, 0))
    axes.set_ylabel(_label(view, place))
    if place == 1:
        axes.legend()


def _label(view: StudyView, place: int) -> str:
    return f"{canvas.short(view.metrics[place], 40)} ({view.study.directions[place].name.lower()})"


ACROSS = 3
"""Panels side by side."""
