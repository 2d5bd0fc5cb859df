"""`search predict`: a model and pictures to rows, a summary and contact sheets."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from search.analysis.statistics import wilson
from search.commands import units
from search.errors import SearchError, option, visible
from search.files.atomic import write_text, write_whole
from search.format import plural
from search.reporting.rows import to_csv, to_json
from search.trained.classifier import Classifier
from search.trained.pictures import gather
from search.trained.predicting import Prediction, predict, right_of
from search.trained.sheet import INK, WRONG, Cell, contact_sheet

A_SHEET = 120
"""Pictures on one contact sheet: twenty rows."""
_SHOWN = 10


class Wanted(NamedTuple):
    """What to say of pictures: as the options of `search predict` have it."""

    images: str | Path | Sequence[str | Path]
    top: int
    threshold: float
    contact_sheet: Path | None


def predicted(opened: AbstractContextManager[Classifier], wanted: Wanted) -> tuple[list[Prediction], list[str]]:
    """The predictions, and lines on them; writes the contact sheets. Raises SearchError if no picture opens."""
    given, sheet = wanted.images, wanted.contact_sheet
    if sheet is not None:
        units.written(sheet, "contact_sheet")
        if sheet.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            raise SearchError(f"{option('contact_sheet', sheet)}: name a .png or .jpg file")
    pictures = gather([given] if isinstance(given, (str, Path)) else given)
    with opened as model:
        found = list(predict(model, pictures, wanted.top, wanted.threshold, sheet is not None))
        classes = model.about.classes
    broken = [made for made in found if made.unreadable]
    if len(broken) == len(found):
        more = f"; nor do {len(broken) - 1:,} more" if broken[1:] else ""
        raise SearchError(f"{broken[0].path}: it does not open as a picture: {broken[0].unreadable}{more}")
    lines = _summary(found, broken, classes, wanted.threshold)
    if wanted.top > len(classes):
        lines.append(f"{option('top', wanted.top)}: the model has {len(classes)} classes, and all are given")
    lines += [f"left out: {pictures.said}"] if pictures.said else []
    if sheet is not None:
        lines.append(f"wrote {', '.join(map(str, _sheets(found, sheet)))}")
    return found, lines


def say(opened: AbstractContextManager[Classifier], wanted: Wanted, as_json: bool, out: Path | None) -> None:
    """Print the rows, or write them to `out`; the lines on them go to stderr, behind them."""
    found, lines = predicted(opened, wanted)
    most = max(len(made.top) for made in found)
    rows = [_row(made, most, wanted.threshold > 0) for made in found]
    text = to_json(rows) + "\n" if as_json else to_csv(rows)
    if out is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_text(out, text)
        lines.append(f"wrote {out}")
    for line in lines:
        print(visible(line), file=sys.stderr)


def _row(made: Prediction, top: int, unsure: bool) -> dict[str, Any]:
    """The cells of one picture, in the same columns for all."""
    row: dict[str, Any] = {"path": made.path, "class": made.label, "probability": _rounded(made.probability)}
    if unsure:
        row["unsure"] = made.top[0][0] if made.top and not made.sure else None
    for place in range(1, top):
        label, share = made.top[place] if place < len(made.top) else (None, None)
        row |= {f"class_{place + 1}": label, f"probability_{place + 1}": _rounded(share)}
    return row | {"unreadable": made.unreadable or None}


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 6)


def _summary(
    found: Sequence[Prediction], broken: Sequence[Prediction], classes: tuple[str, ...], threshold: float
) -> list[str]:
    counts = Counter(made.label for made in found if made.label is not None)
    most = ", ".join(f"{count:,} {label}" for label, count in counts.most_common(_SHOWN))
    rest = len(counts) - _SHOWN
    said = f"{plural(len(found) - len(broken), 'picture')}: {most or 'none of which the model is sure'}"
    lines = [said + (f" and {rest} more {'class' if rest == 1 else 'classes'}" if rest > 0 else "")]
    unsure = sum(not made.sure for made in found) - len(broken)
    lines += [f"{unsure:,} with no class of a probability of {threshold:g}"] if unsure else []
    scored = right_of(list(found), classes)
    if scored is not None:
        right, count = scored
        low, high = wilson(right, count)
        lines.append(
            f"they lie in folders named after classes: {right:,} of {count:,} are right, accuracy {right / count:.4f} "
            f"({low:.3f} to {high:.3f})"
        )
    if broken:
        lines.append(f"{len(broken):,} cannot be read:")
        lines += [f"  {made.path}: {made.unreadable}" for made in broken]
    return lines


def _sheets(found: Sequence[Prediction], path: Path) -> list[Path]:
    """Write all pictures, A_SHEET a file; the second is named SHEET-2.png."""
    written = []
    for start in range(0, len(found), A_SHEET):
        image = contact_sheet([_cell(made) for made in found[start : start + A_SHEET]])
        number = start // A_SHEET + 1
        target = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
        write_whole(target, partial(image.save, format=kind, optimize=True))
        written.append(target)
    return written


def _cell(made: Prediction) -> Cell:
    if not made.top:
        said = "unreadable"
    elif made.sure:
        said = f"{made.top[0][0]} ({made.top[0][1]:.0%})"
    else:
        said = f"unsure: {made.top[0][0]} ({made.top[0][1]:.0%})"
    return Cell(made.pixels, [(Path(made.path).name, INK), (said, INK if made.sure else WRONG)])
