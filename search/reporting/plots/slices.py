"""The metric over each setting."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from search.analysis.view import StudyView
from search.reporting.plots import canvas
from search.reporting.plots.axes import Axis, settings_of, spread
from search.reporting.section import Section


def section(view: StudyView) -> Section | None:
    """The metric over each setting, a panel each."""
    done = canvas.drawable(view)
    values = canvas.values_of(done)
    axes_, note = settings_of(done, 2)
    if not axes_:
        return None
    columns = min(len(axes_), 3 if len(axes_) in (5, 6, 9) else 4)
    rows = -(-len(axes_) // columns)
    figure = Figure(figsize=(max(2.4 * columns, 4.5), 2.3 * rows + 0.3))
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    few = np.array(canvas.some(range(len(done)), canvas.POINTS))
    for panel in panels.flat[len(axes_) :]:
        panel.set_visible(False)
    for panel, axis in zip(panels.flat, axes_, strict=False):
        places = spread(axis)
        panel.scatter(places[few], values[few], s=12, color=canvas.DONE, alpha=0.45, linewidths=0)
        panel.scatter(places[:1], values[:1], s=32, color=canvas.BEST, linewidths=0, zorder=3)
        stopped = canvas.some(
            [trial.params[axis.name] for trial in view.pruned if axis.name in trial.params], canvas.LINES
        )
        if axis.options:
            panel.set_xticks(range(len(axis.options)), [canvas.short(name, 10) for name in axis.options])
            panel.set_xlim(-0.6, len(axis.options) - 0.4)
            if len(axis.options) > 3:
                panel.tick_params(axis="x", rotation=90)
        else:
            panel.plot(stopped, np.full(len(stopped), 0.02), "|", color=canvas.FADED, alpha=0.5, markersize=6,
                       transform=panel.get_xaxis_transform())  # fmt: skip
            _scale(panel, axis)
        panel.set_xlabel(canvas.short(axis.name, 28))
    panels[0, 0].set_ylim(*canvas.limits(values, view.sign))
    for panel in panels[:, 0]:
        panel.set_ylabel(canvas.metric_label(view))
    ticks = " Ticks at the bottom: where trials were pruned." if view.pruned else ""
    note += canvas.drawn("trials", len(few), len(done)) + canvas.hidden(values, view.sign)
    return Section(f"The completed trials over each setting, the best in orange.{ticks}{note}", "Each setting", figure)


def _scale(panel: Axes, axis: Axis) -> None:
    low, high = np.log(axis.ends) if axis.log else axis.ends
    room = np.array([low - 0.04 * (high - low), high + 0.04 * (high - low)])
    panel.set_xlim(*(np.exp(np.clip(room, -700, 700)) if axis.log else room))
    if axis.log:
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(numticks=4))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("e-0", "e-")))
        panel.xaxis.set_minor_formatter(NullFormatter())
    else:
        panel.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=axis.whole))
