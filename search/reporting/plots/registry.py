"""The pictures of a report, in their order: to add one, write its file and its line here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from search.analysis.view import StudyView
from search.errors import visible
from search.reporting.columns import escape_cell, image
from search.reporting.plots import confusion, curves, front, history, hypervolume, importances, parallel, pareto, slices
from search.reporting.plots.canvas import save, style
from search.reporting.section import Section

PLOTS: dict[str, Callable[[StudyView], Section | None]] = {
    "curves": curves.section,
    "history": history.section,
    "importances": importances.section,
    "slices": slices.section,
    "parallel": parallel.section,
    "accuracy_against_size": pareto.section,
    "front": front.section,
    "hypervolume": hypervolume.section,
    "confusion": confusion.section,
}
"""File name, without its ending, to the function that draws it; None is a picture with nothing to show."""


def figures(view: StudyView) -> dict[str, Figure]:
    """The pictures of a study that have something to show, by name."""
    with style():
        drawn = {name: section(view) for name, section in PLOTS.items()}
    return {name: section.figure for name, section in drawn.items() if section and section.figure}


def write(view: StudyView, folder: Path) -> tuple[list[str], list[Path]]:
    """Draw what there is to show into `folder`, and remove from it what is not shown any more.

    Returns Markdown sections for a page beside `folder`, and the files that they show.
    """
    parts, files = [], []
    with style():
        for name, section in PLOTS.items():
            drawn, path = section(view), folder / f"{name}.png"
            if drawn is None or drawn.figure is None:
                path.unlink(missing_ok=True)
                continue
            save(drawn.figure, path)
            text = escape_cell(drawn.text)  # the names in it are the user's
            link = image(f"{drawn.title}: {visible(drawn.text)}", path.relative_to(folder.parent))
            parts.append(f"## {drawn.title}\n\n{link}\n\n{text}")
            files.append(path)
    return parts, files
