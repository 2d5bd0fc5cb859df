"""What all pictures of a study share: its trials as they want them, colours, and how a figure becomes a file."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from optuna.trial import FrozenTrial
from PIL import Image

from search.analysis.view import StudyView
from search.files.atomic import write_whole
from search.study.attributes import value_of

BEST, DONE, FADED, INK = "#d9480f", "#0969da", "#8c959f", "#24292f"
LETTERS = 16
"""Of a name in a picture."""
LINES, POINTS, PANELS = 120, 600, 12
"""At most so many curves of a kind, points of a panel, and panels are drawn."""
Floats = NDArray[np.float64]
_T = TypeVar("_T")


def fits(value: float) -> bool:
    """Whether a picture can show it."""
    return abs(value) < 1e100  # not NaN, which is less than nothing


def number_of(trial: FrozenTrial) -> float:
    """The trial's value, NaN if it has none."""
    value = value_of(trial)
    return math.nan if value is None else value


def drawable(view: StudyView) -> list[FrozenTrial]:
    """The completed trials with a value that fits, the best first; of several objectives none."""
    return [trial for trial in view.done if fits(number_of(trial))]


def values_of(trials: Sequence[FrozenTrial]) -> Floats:
    """(T,): the value of each trial."""
    return np.array([number_of(trial) for trial in trials])


def metric_label(view: StudyView) -> str:
    """The metric's name for an axis."""
    return short(view.metric, 40)


def limits(values: Floats, sign: int) -> tuple[float, float]:
    """From the best of `values` to the worst, but not so far that what diverged hides the rest; `sign`: the view's."""
    best, low = float((sign * values).max()), float(np.quantile(sign * values, 0.1))
    worst = max(float((sign * values).min()), best - 2 * (best - low))
    margin = 0.06 * (best - worst) or 0.05 * abs(best) or 0.05
    ends = sorted((sign * (worst - margin), sign * (best + margin)))
    return ends[0], ends[1]


def hidden(values: Floats, sign: int) -> str:
    """What a caption says of the values that the limits leave out."""
    low, high = limits(values, sign)
    count = int(((values < low) | (values > high)).sum())
    return f" {count} completed trials are worse than the picture shows." if count else ""


def some(items: Sequence[_T], count: int) -> list[_T]:
    """At most `count` of the items, evenly spaced, the first among them."""
    if len(items) <= count:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, count).round().astype(int)]


def drawn(what: str, shown: int, there: int) -> str:
    """What a caption says where not all are in the picture."""
    return f" Of {there} {what}, {shown} are drawn, evenly spaced." if shown < there else ""


def short(name: str, letters: int = LETTERS) -> str:
    """A name that fits in a picture."""
    name = " ".join(name.split())
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


_STYLE: Any = {
    "figure.facecolor": "white",  # a card of its own, on a light page as on a dark one
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "font.size": 9.5,
    "text.parse_math": False,  # the names are the user's
    "text.usetex": False,
    "text.color": INK,
    "axes.edgecolor": FADED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#d8dee4",
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.framealpha": 0.85,
    "legend.edgecolor": "none",
}


@contextmanager
def style() -> Iterator[None]:
    """How figures look that are made and saved inside; letters that no font has become boxes, and the ticks of a range
    to 1e300 may overflow, without a warning.
    """
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings(), np.errstate(over="ignore"):
        warnings.filterwarnings("ignore", "Glyph .* missing")
        yield


def save(figure: Figure, path: Path) -> None:
    """Write the figure as a PNG of 128 colours, whole or not at all; without a display."""
    canvas: Any = FigureCanvasAgg(figure)  # untyped
    canvas.draw()
    # A third of the time of Pillow's own choices, for a file a sixth larger.
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    picture = picture.quantize(128, Image.Quantize.MAXCOVERAGE)
    write_whole(path, lambda part: picture.save(part, "PNG"))
