"""Accuracy against size: the completed trials, and those that no smaller one beats."""

from __future__ import annotations

from matplotlib.figure import Figure
from optuna.trial import FrozenTrial

from search.analysis.cost import taken
from search.analysis.view import StudyView
from search.format import format_number
from search.reporting.plots import canvas
from search.reporting.section import Section
from search.study.attributes import value_of

Point = tuple[float, float, FrozenTrial]
"""Parameters, value, trial."""


def points(view: StudyView) -> list[Point]:
    """The completed trials whose size is recorded, the best first; of several objectives none."""
    found = ((taken(trial, "parameters"), value_of(trial), trial) for trial in view.done)
    return [(size, value, trial) for size, value, trial in found if size and value is not None]


def front(found: list[Point]) -> list[Point]:
    """Those of `points` that none beats that is as small or smaller; the largest, and best, first."""
    kept: list[Point] = []
    for point in found:  # the best first: a later one is on the front if it is smaller than all before
        if kept and point[1] == kept[-1][1] and point[0] < kept[-1][0]:
            kept.pop()
        if not kept or point[0] < kept[-1][0]:
            kept.append(point)
    return kept


def section(view: StudyView) -> Section | None:
    """The completed trials and those best for their size; None where all have the same size."""
    found = points(view)
    if len({size for size, _, _ in found}) < 2:
        return None
    best = front(found)
    figure = Figure(figsize=(8, 4.5))
    axes = figure.subplots()
    few = canvas.some(found, canvas.POINTS)
    sizes, values = [size for size, _, _ in few], [value for _, value, _ in few]
    axes.scatter(sizes, values, s=14, color=canvas.DONE, alpha=0.45, label="trials")
    line = [(size, value) for size, value, _ in reversed(best)]
    label = "no trial that is as small is better"
    axes.plot(*zip(*line, strict=True), "o-", color=canvas.BEST, markersize=5, drawstyle="steps-post", label=label)
    for size, value, trial in best:
        axes.annotate(f"{trial.number}", (size, value), xytext=(5, 5), textcoords="offset points")
    axes.set(xscale="log", xlabel="parameters", ylabel=canvas.metric_label(view))
    axes.margins(0.08)
    axes.legend()
    what = "; ".join(
        f"trial {trial.number}, {size:,.0f}: {format_number(value)}" for size, value, trial in reversed(best)
    )
    text = f"{view.metric} against parameters; the best for their size are {what}."
    return Section(text, "Accuracy against size", figure)
