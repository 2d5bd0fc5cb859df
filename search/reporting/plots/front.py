"""Two objectives against each other."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from optuna.trial import TrialState

from search.analysis.view import StudyView
from search.reporting.plots import canvas
from search.reporting.section import Section


def section(view: StudyView) -> Section | None:
    """Two objectives against each other, and the trials that no other beats in both."""
    if len(view.metrics) != 2:
        return None
    done = [trial for trial in view.trials if trial.state == TrialState.COMPLETE]
    values = np.array([trial.values for trial in done if all(map(canvas.fits, trial.values))])
    best = np.array([trial.values for trial in view.ranked if all(map(canvas.fits, trial.values))])
    if len(values) < 2:
        return None
    figure = Figure(figsize=(6, 4.5))
    axes = figure.subplots()
    few = np.array(canvas.some(range(len(values)), canvas.POINTS))
    axes.scatter(
        values[few, 0], values[few, 1], s=14, color=canvas.DONE, alpha=0.45, linewidths=0, label="a completed trial"
    )
    if len(best):
        ordered = best[np.lexsort((best[:, 1], best[:, 0]))]
        axes.plot(*ordered.T, "o-", color=canvas.BEST, markersize=5, linewidth=1, label="not beaten in both")
    names = [
        f"{canvas.short(name, 40)} ({way.name.lower()})"
        for name, way in zip(view.metrics, view.study.directions, strict=True)
    ]
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.legend()
    note = canvas.drawn("trials", len(few), len(values))
    text = f"The two objectives, and the trials that no other beats in both.{note}"
    return Section(text, "The two objectives", figure)
