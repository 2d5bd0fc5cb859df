"""The best so far, over the time since the study began and over machine time."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from search.analysis.view import StudyView
from search.format import duration
from search.reporting.plots import canvas
from search.reporting.section import Section
from search.study.attributes import epoch_of


def section(view: StudyView) -> Section | None:
    """The best so far over the time since the study began, and over the machine time that it took."""
    done = canvas.drawable(view)
    ended = [trial for trial in view.trials if trial.datetime_complete and trial.datetime_start]
    ended.sort(key=lambda trial: (trial.datetime_complete, trial.number))
    good = {trial.number for trial in done}
    if len(good) < 2 or sum(trial.number in good for trial in ended) < 2:
        return None
    began = min(trial.datetime_start for trial in ended if trial.datetime_start)
    wall = np.array([(trial.datetime_complete - began).total_seconds() for trial in ended if trial.datetime_complete])
    machine = np.cumsum([float(epoch_of(trial).get("machine_seconds") or 0.0) for trial in ended])
    times = {"time since the first trial began": wall} | ({"machine time": machine} if machine[-1] > 0 else {})
    rows = np.array([trial.number in good for trial in ended])
    values = canvas.values_of(ended)[rows]
    best = (np.maximum if view.sign > 0 else np.minimum).accumulate(values)
    hand = view.best_baseline.val_acc if view.best_baseline and view.by_accuracy else None
    figure = Figure(figsize=(4.6 * len(times) if len(times) > 1 else 8, 3.9))
    panels = figure.subplots(1, len(times), sharey=True, squeeze=False)[0]
    for axes, (label, seconds) in zip(panels, times.items(), strict=True):
        unit, size = _unit(float(seconds[-1]))
        x = seconds[rows] / size
        few = np.array(canvas.some(range(len(x)), canvas.POINTS))
        axes.scatter(x[few], values[few], s=10, color=canvas.DONE, alpha=0.4, linewidths=0, label="a completed trial")
        axes.step([*x, seconds[-1] / size], [*best, best[-1]], where="post", color=canvas.BEST, label="the best so far")
        if hand is not None:
            axes.axhline(hand, color=canvas.INK, linestyle=":", linewidth=1.2, label="the best hand-tuned row")
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{label}, {unit}")
    panels[0].set_ylim(*canvas.limits(values if hand is None else np.append(values, hand), view.sign))
    panels[0].set_ylabel(canvas.metric_label(view))
    panels[-1].legend(loc="lower right" if view.sign > 0 else "upper right")
    took = " and ".join(f"{duration(float(seconds[-1]))} of {label}" for label, seconds in times.items())
    note = canvas.drawn("completed trials", min(canvas.POINTS, len(values)), len(values)) + canvas.hidden(
        values, view.sign
    )
    text = f"The best completed trial so far, over {took}; trials at their ends.{note}"
    return Section(text, "The best over time", figure)


def _unit(seconds: float) -> tuple[str, float]:
    return next(((u, size) for u, size in (("hours", 3600.0), ("minutes", 60.0)) if seconds > 2 * size), ("s", 1.0))
