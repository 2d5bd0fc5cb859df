"""The best so far of several studies, over time and over machine time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from search.analysis.comparison import curve, goal, leader
from search.analysis.view import StudyView
from search.reporting.plots import canvas


def draw(of: Sequence[StudyView], folder: Path) -> Path | None:
    """Write `folder`/best_over_time.png, of the studies with the leader's goal; None where no trial completed."""
    first = leader(of)
    shown = [view for view in of if first is not None and goal(view) == goal(first)]
    curves = {view.name: points for view in shown if (points := curve(view))}
    if first is None or not curves:
        return None
    path = folder / "best_over_time.png"
    with canvas.style():
        figure = Figure(figsize=(10, 4))
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, place, what in ((left, 0, "time since the first trial began"), (right, 1, "machine time")):
            longest = max(points[-1][place] for points in curves.values())
            unit, size = ("h", 3600) if longest > 7200 else ("min", 60) if longest > 120 else ("s", 1)
            for name, points in curves.items():
                x, y = [point[place] / size for point in points], [point[2] for point in points]
                axes.plot(x, y, drawstyle="steps-post", marker=".", markevery=[-1], label=_label(name))
            axes.set(xlabel=f"{what}, {unit}")
            axes.set_xlim(left=0)
        left.set(ylabel=f"best {first.metric} so far")
        right.legend()
        canvas.save(figure, path)
    return path


def _label(name: str) -> str:
    """A name that begins with _ would have no place in the legend."""
    return f" {name}" if name.startswith("_") else name
