"""All settings of each trial as one line."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from search.analysis.view import StudyView
from search.reporting.plots import canvas
from search.reporting.plots.axes import Axis, settings_of, spread
from search.reporting.section import Section


def section(view: StudyView) -> Section | None:
    """A line a completed trial through all its settings to its value, the better the darker."""
    done = canvas.drawable(view)
    values = canvas.values_of(done)
    settings, note = settings_of(done, 3)
    if len(settings) < 2 or values.max() == values.min():
        return None
    settings = [*settings, Axis(canvas.metric_label(view), values, (float(values.min()), float(values.max())))]
    rows = np.array(canvas.some(range(len(done)), canvas.LINES))[::-1]  # the best last, in front
    columns = []
    for axis in settings:
        places = axis.shares()
        if axis.options:
            places = places + (spread(axis) - axis.values) / (4 * len(axis.options))
        columns.append(np.where(np.isnan(places), -0.13, places))
    heights = np.stack(columns, axis=1)[rows]
    figure = Figure(figsize=(max(8.0, 1.25 * len(settings)), 4.6))
    axes = figure.subplots()
    lines = np.stack([np.broadcast_to(np.arange(len(settings)), heights.shape), heights], axis=2)
    rank = 1 - rows / max(rows.max(), 1)
    axes.add_collection(
        LineCollection(list(lines), array=rank, cmap="Blues", clim=(-0.35, 1.1), linewidths=1, alpha=0.7)
    )
    axes.plot(np.arange(len(settings)), heights[-1], color=canvas.BEST, linewidth=2.2)
    for x, axis in enumerate(settings):
        axes.axvline(x, color=canvas.INK, linewidth=0.8)
        for share, text in axis.ticks():
            axes.text(
                x + 0.04, share, text, fontsize=8, va="center", bbox=dict(fc="white", ec="none", alpha=0.75, pad=0.8)
            )
    absent = any(np.isnan(axis.values).any() for axis in settings)
    axes.set_ylim(-0.2 if absent else -0.06, 1.06)
    axes.set_xlim(-0.1, len(settings) - 0.55)
    axes.set_xticks(range(len(settings)), [canvas.short(axis.name, 18) for axis in settings])
    axes.set_yticks([-0.13] if absent else [], ["not set"] if absent else [])
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    note += canvas.drawn("trials", len(rows), len(done))
    text = "Each line a completed trial, the better the darker; the best in orange; log scales as the ranges have."
    return Section(text + note, "All settings together", figure)
