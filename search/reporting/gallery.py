"""The images that the best trials get wrong, for you to look at: label errors are among them.

They show the data set, which may not be for others: the folder keeps itself out of git.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from search.analysis import ties
from search.analysis.view import StudyView
from search.data import cache
from search.files.atomic import write_text, write_whole
from search.predictions import Predictions
from search.reporting.columns import escape_cell
from search.trained.sheet import INK, WRONG, Cell, contact_sheet

COUNT = 24
"""At most so many images a sheet."""
LEADERS = 5


def write(view: StudyView, folder: Path) -> tuple[str, list[Path]]:
    """Write the gallery's page into `folder`, and nothing if there is nothing to show.

    Two contact sheets: the mistakes that the best trial is surest of, and the images that the best and the trials
    tied with it, LEADERS at most, all get wrong. Returns what the report says of it, as Markdown, and the sheets.
    """
    shutil.rmtree(folder, ignore_errors=True)
    first = view.best_predictions
    if first is None or view.best is None:
        known = view.by_accuracy and view.best is not None
        return "No gallery of mistakes: the best trial's predictions are not in the run folder." if known else "", []
    images = cache.kept(first.images)
    if images is None or not np.array_equal(images.labels, first.labels):
        why = "the decoded images are not in the cache of this machine; a new run decodes them."
        return f"No gallery of mistakes: {why}", []
    sheets = [sheet for sheet in (_mistakes(view.best, first, images), _shared(_leaders(view), images)) if sheet]
    if not sheets:
        return f"No gallery of mistakes: trial {view.best.number} makes none on the validation images.", []
    write_text(folder / ".gitignore", "*\n")
    parts = [part for sheet in sheets for part in _section(*sheet, folder)]
    write_text(folder / "README.md", "\n\n".join([f"# {escape_cell(view.name)}: mistakes", *parts]) + "\n")
    said = (
        f"## Gallery of mistakes\n\nThe images that the best get wrong, with true and predicted labels, are in "
        f"`{folder.name}/README.md`. They stay out of git, because they show the data set."
    )
    return said, [folder / f"{name}.png" for name, *_ in sheets]


def _leaders(view: StudyView) -> list[tuple[FrozenTrial, Predictions]]:
    """The best trial and those tied with it, LEADERS at most, with their predictions for the same images."""
    found: list[tuple[FrozenTrial, Predictions]] = []
    for trial in view.done:
        best = trial is view.best
        if len(found) == LEADERS or not (best or view.ties.tied(trial.number)):
            continue
        made = view.best_predictions if best else ties.predictions_of(view.name, trial)
        if made is not None and (best or np.array_equal(made.labels, found[0][1].labels)):
            found.append((trial, made))
    return found


_Sheet = tuple[str, str, str, list[tuple[NDArray[np.uint8], str, str]]]
"""File name, title, caption; of each image its pixels, what it is, and what it was called."""


def _mistakes(trial: FrozenTrial, made: Predictions, images: cache.Images) -> _Sheet | None:
    wrong = np.flatnonzero(made.predicted != made.labels)
    rows = wrong[np.argsort(-made.confidence[wrong], kind="stable")][:COUNT]
    cells = [
        (images.pixels[row], made.classes[made.labels[row]], f"{_name(made, row)} ({made.confidence[row]:.0%})")
        for row in rows
    ]
    which = f"All {len(wrong)}" if len(rows) == len(wrong) else f"The {len(rows)} surest of {len(wrong)}"
    caption = (
        f"{which} mistakes of trial {trial.number} among {len(made.labels)} validation images. Under each its "
        "label, and what the trial predicts, with which probability."
    )
    return ("mistakes", "The surest mistakes of the best", caption, cells) if cells else None


def _shared(leaders: Sequence[tuple[FrozenTrial, Predictions]], images: cache.Images) -> _Sheet | None:
    """What all leaders get wrong, by their mean probability for what they said."""
    if len(leaders) < 2:
        return None
    first = leaders[0][1]
    wrong = np.flatnonzero(np.all([made.predicted != made.labels for _, made in leaders], axis=0))
    confidence = np.mean([made.confidence.astype(np.float64) for _, made in leaders], axis=0)
    rows = wrong[np.argsort(-confidence[wrong], kind="stable")][:COUNT]
    cells = []
    for row in rows:
        name, votes = Counter(_name(made, row) for _, made in leaders).most_common(1)[0]
        cells.append((images.pixels[row], first.classes[first.labels[row]], f"{name} ({votes} of {len(leaders)})"))
    numbers = ", ".join(str(trial.number) for trial, _ in leaders)
    which = f"All {len(wrong)} images" if len(rows) == len(wrong) else f"{len(rows)} of the {len(wrong)} images"
    caption = (
        f"{which} that the trials {numbers}, the best and those statistically tied with it, all get wrong, the "
        "surest first: look here for wrong labels. Under each its label, and what most of them predict."
    )
    return ("shared", "What every leader gets wrong", caption, cells) if cells else None


def _name(made: Predictions, row: int) -> str:
    return str(made.classes[made.predicted[row]])


def _section(
    name: str, title: str, caption: str, cells: Sequence[tuple[NDArray[np.uint8], str, str]], folder: Path
) -> list[str]:
    lines = [((f"true: {label}", INK), (f"pred: {called}", WRONG)) for _, label, called in cells]
    sheet = contact_sheet([Cell(pixels, under) for (pixels, *_), under in zip(cells, lines, strict=True)])
    write_whole(folder / f"{name}.png", lambda part: sheet.save(part, "PNG", optimize=True))
    return [f"## {title}", f"![{title}]({name}.png)", caption]
