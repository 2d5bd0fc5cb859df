"""The pictures of a report: PNG files beside its page, and the Markdown that shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from optuna.study import Study

from search.analysis import ties
from search.analysis.importance import Effect
from search.reporting.columns import escape_cell, image
from search.reporting.plots import curves, pareto, slices
from search.reporting.plots.canvas import Shown, save, style
from search.study.study import ranked


class _Plot(NamedTuple):
    name: str
    title: str
    drawn: tuple[Figure, str] | None
    """The figure and its caption; None if there is nothing to show."""


def write(study: Study, effects: Mapping[str, Effect], folder: Path) -> str:
    """Draw what there is to show into `folder`, and remove from it what is not shown any more.

    Returns Markdown sections for a page beside `folder`, empty if nothing is shown.
    """
    sections = []
    with style():
        for name, title, drawn in _plots(study, effects):
            path = folder / f"{name}.png"
            if drawn is None:
                path.unlink(missing_ok=True)
                continue
            figure, caption = drawn
            save(figure, path)
            text = escape_cell(caption)  # the names in it are the user's
            link = image(f"{title}: {text}", path.relative_to(folder.parent))
            sections.append(f"## {title}\n\n{link}\n\n{text}")
    return "\n\n".join(sections)


def _plots(study: Study, effects: Mapping[str, Effect]) -> Iterator[_Plot]:
    """One after the other, so that one figure is in memory at a time."""
    one = len(study.directions) == 1
    shown = Shown(study)
    yield _Plot("curves", "Learning curves", curves.curves(shown) if one else None)
    yield _Plot("history", "The best over time", curves.history(shown) if one else None)
    yield _Plot("importances", "What mattered", slices.importances(effects))
    yield _Plot("slices", "Each setting", slices.slices(shown) if one else None)
    yield _Plot("parallel", "All settings together", slices.parallel(shown) if one else None)
    yield _Plot("accuracy_against_size", "Accuracy against size", pareto.draw(study))
    yield _Plot("front", "The two objectives", curves.front(study))
    best = ranked(study)[:1]
    answers = ties.answers_of(study, best[0]) if best and one else None
    drawn = curves.confusion(answers, best[0].number) if answers else None
    yield _Plot("confusion", "What the best confuses", drawn)
