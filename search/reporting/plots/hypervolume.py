"""How the front of several objectives grew: the hypervolume after each completed trial."""

from __future__ import annotations

from matplotlib.figure import Figure

from search.analysis.front import growth
from search.analysis.view import StudyView
from search.reporting.plots import canvas
from search.reporting.section import Section


def section(view: StudyView) -> Section | None:
    """None where the trials span no volume, and for one objective."""
    grown = growth(view)
    if grown is None:
        return None
    figure = Figure(figsize=(8, 3.5))
    axes = figure.subplots()
    axes.step(range(1, len(grown.shares) + 1), grown.shares, where="post", color=canvas.BEST)
    axes.set(xlabel="completed trials", ylabel="hypervolume, a share", ylim=(0, 1.02))
    near = next(place for place, share in enumerate(grown.shares, 1) if share >= 0.99 * grown.shares[-1])
    text = (
        f"The hypervolume of the front after each of {len(grown.shares)} completed trials, as a share of the box from "
        f"the worst to the best value in each objective. It ends at {grown.shares[-1]:.3f}; "
        f"99% of that are reached after {near}."
    )
    return Section(text, "Hypervolume over time", figure)
