"""Which classes the best trial confuses."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from search.analysis.view import StudyView
from search.reporting.plots import canvas
from search.reporting.section import Section

CLASSES = 12
"""At most so many are in the picture of confusions."""


def section(view: StudyView) -> Section | None:
    """The classes that the best trial confuses most: how often each was predicted as what."""
    made = view.best_predictions
    if made is None or view.best is None:
        return None
    count, table = len(made.classes), made.confusion
    wrong = table - np.diag(np.diag(table))
    if count < 2 or not wrong.any():
        return None
    chosen: list[int] = []
    for pair in np.argsort(-wrong, axis=None, kind="stable"):
        row, column = divmod(int(pair), count)
        if not wrong[row, column] or len({*chosen, row, column}) > CLASSES:
            break
        chosen += [label for label in (row, column) if label not in chosen]
    seen = table[np.ix_(chosen, chosen)]
    others = table[chosen].sum(1) - seen.sum(1)
    cells = np.column_stack([seen, others])
    shares = cells / np.maximum(table[chosen].sum(1, keepdims=True), 1)
    figure = Figure(figsize=(2.6 + 0.52 * cells.shape[1], 1.9 + 0.36 * len(chosen)))
    axes = figure.subplots()
    axes.imshow(np.where(cells > 0, shares, np.nan), cmap="Blues", vmin=0, vmax=1.25, aspect="auto")
    for (row, column), value in np.ndenumerate(cells):
        if value:
            color = "white" if shares[row, column] > 0.6 else canvas.INK if column == row else canvas.BEST
            axes.text(column, row, str(value), ha="center", va="center", color=color, fontsize=9)
    names = [canvas.short(made.classes[label], 20) for label in chosen]
    axes.set_xticks(range(len(chosen) + 1), [*names, "any other"], rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(chosen)), names)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    which = f"the {len(chosen)} of {count} classes with the most frequent ones hold {int(wrong[chosen].sum())} of its"
    mistakes = f"{int(wrong.sum())} in all" if len(chosen) == count else f"{which} {int(wrong.sum())} mistakes"
    text = (
        f"Trial {view.best.number} on the validation images: of each class (row) how many are predicted as what. "
        f"Mistakes in orange; {mistakes}."
    )
    return Section(text, "What the best confuses", figure)
