"""The report of a study: reports/<study>.md, and its pictures beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from search.analysis.ties import images_of
from search.analysis.view import StudyView
from search.files.atomic import file_name, write_text
from search.format import measured
from search.reporting import table
from search.reporting.columns import accuracy, escape_cell
from search.reporting.sections import confirmation
from search.reporting.sections.registry import sections
from search.reporting.table import Ranking
from search.study.attributes import TrialRecord, epoch_of, value_of

VERSUS = "-vs-"
"""Between the names of studies in the name of their comparison's page. No study's own page has such a name alone."""


@dataclass(frozen=True)
class Report:
    """A page that was written."""

    path: Path
    head: tuple[str, ...]
    """Its paragraphs before the first heading of a section, as Markdown."""
    table: str
    """The ranked table; of a study that confirms another, what is confirmed."""
    pictures: tuple[Path, ...]
    """The PNG files that the page and its gallery show."""
    ranking: Ranking | None = None
    """The ranked table for a terminal; None for a study that confirms another."""
    html: Path | None = None
    """The same as one page that needs nothing else, if that was asked for."""

    @property
    def gallery(self) -> Path:
        """The page of the gallery, which is not there if there is nothing to show."""
        return self.path.parent / f"{self.path.stem}_gallery" / "README.md"

    @property
    def shows_pictures(self) -> bool:
        """Whether its gallery shows pictures of the data set."""
        return self.gallery.is_file()


def write(view: StudyView, folder: Path, extra: Sequence[str] = (), full: bool = False) -> Report:
    """Write the page to `folder`/<study>.md, whole or not at all, and its pictures.

    `extra`: more columns; `full`: the table with every column.
    """
    from search.reporting import gallery
    from search.reporting.plots import registry  # late: matplotlib takes a second to import

    name = file_name(view.name, view.name if VERSUS in view.name else None)
    ranking = table.ranking(view, extra, full=full) if view.confirms is None else None
    shown = ranking.markdown if ranking is not None else confirmation.table(view)
    head, titled = _parts(view, shown)
    files: list[Path] = []
    if view.confirms is None:  # seeds have no curves to compare
        plots, files = registry.write(view, folder / f"{name}_files")
        mistakes, sheets = gallery.write(view, folder / f"{name}_gallery")
        titled, files = [*titled, *plots, mistakes], [*files, *sheets]
    write_text(folder / f"{name}.md", _joined([*head, *titled]))
    return Report(folder / f"{name}.md", tuple(head), shown, tuple(files), ranking)


def render(view: StudyView) -> str:
    """The page without its pictures, as Markdown."""
    head, titled = _parts(view, ranked_table(view))
    return _joined([*head, *titled])


def ranked_table(view: StudyView, extra: Sequence[str] = ()) -> str:
    """The ranked table; of a study that confirms another, what is confirmed: no seed is better than another."""
    return table.markdown(view, extra) if view.confirms is None else confirmation.table(view)


def _parts(view: StudyView, ranking: str) -> tuple[list[str], list[str]]:
    """The page before the first section with a title, and from there on."""
    made = sections(view)
    head = [f"# {escape_cell(view.name)}"] + ([_best(view), *ranking.split("\n\n")] if view.confirms is None else [])
    head += [section.text for section in made if not section.title]
    return head, [f"## {section.title}\n\n{section.text}" for section in made if section.title]


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def _best(view: StudyView) -> str:
    if view.several:
        goals = ", ".join(
            f"{escape_cell(name)} ({direction.name.lower()})"
            for name, direction in zip(view.metrics, view.study.directions, strict=True)
        )
        which = "The table lists the trials that no other beats in all of them."
        which = which if view.ranked else escape_cell(view.no_best)
        return f"The study has {len(view.metrics)} objectives: {goals}. {which}"
    metric = escape_cell(view.metric)
    if view.best is None:
        return escape_cell(view.no_best) if view.ranked else f"No trial completed, so there is no best {metric}."
    value, ran_on = value_of(view.best) or 0.0, TrialRecord(view.best).ran_on
    where = (
        f", on {ran_on['device']} ({ran_on['device_name']}) in {ran_on['precision']}"
        if {"device_name", "precision"} <= ran_on.keys()
        else ""
    )
    images = images_of(view.best) if view.by_accuracy else None
    sure = accuracy(value, images).partition(" (")[2].rstrip(")")
    if view.best.number in view.intervals:
        low, high = view.intervals[view.best.number]
        sure, images = f"{low:.3f} to {high:.3f} by bootstrap", images_of(view.best)
    sure = f" (95% interval {sure}, {images} images)" if sure else ""
    last = epoch_of(view.best).get(view.metric)  # of which the storage makes a float
    shown = str(last) if type(last) is int and last == value else measured(value)
    return f"Best {metric}: **{shown}**{sure}, trial {view.best.number}{where}, measured at its last epoch."
