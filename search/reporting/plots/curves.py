"""Pictures of how a search went; None where there is nothing to show. Each comes with its caption."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.format import duration
from search.predictions import Answers
from search.reporting.plots.canvas import (
    BEST,
    DONE,
    FADED,
    INK,
    LINES,
    POINTS,
    Floats,
    Shown,
    drawn,
    fits,
    number_of,
    short,
    some,
)
from search.study.study import epoch_of, metric_of, metrics_of, ranked


def curves(shown: Shown) -> tuple[Figure, str] | None:
    """Every trial's metric over its epochs; the pruned faded, the best in front."""
    groups = {
        "pruned": some(_curves(shown.pruned), LINES),
        "completed": some(_curves(shown.done[1:]), LINES),
        "best": _curves(shown.done[:1]),
    }
    lines = [line for group in groups.values() for line in group]
    if not any(len(line) > 1 for line in lines):
        return None
    figure = Figure(figsize=(8, 4.5))
    axes = figure.subplots()
    for (label, group), color, width, alpha in zip(
        groups.items(), (FADED, DONE, BEST), (0.8, 1.0, 2.2), (0.35, 0.45, 1.0), strict=True
    ):
        if not group:
            continue
        axes.add_collection(LineCollection(group, colors=color, linewidths=width, alpha=alpha, label=label))
        if label == "pruned":  # where they were stopped; of one epoch there is no line
            ends = np.array([line[-1] for line in group])
            axes.scatter(ends[:, 0], ends[:, 1], s=7, color=color, alpha=0.6, linewidths=0)
    points = np.concatenate(lines)
    axes.set_xlim(points[:, 0].min() - 0.3, points[:, 0].max() + 0.3)
    axes.set_ylim(*shown.limits(points[:, 1]))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))
    axes.set_xlabel("epoch")
    axes.set_ylabel(shown.metric)
    axes.legend(loc="lower right" if shown.rises else "upper right")
    note = drawn("pruned trials", len(groups["pruned"]), len(_with_curve(shown.pruned)))
    note += drawn("completed trials", len(groups["completed"]), len(_with_curve(shown.done[1:])))
    best = f", the best (trial {shown.done[0].number}) in front" if groups["best"] else ""
    return figure, f"Every trial after each of its epochs; the pruned faded{best}.{note}"


def _with_curve(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if any(map(fits, trial.intermediate_values.values()))]


def _curves(trials: Sequence[FrozenTrial]) -> list[Floats]:
    """(E, 2) a trial that has one: epoch and value, where that fits."""
    found = (np.array(sorted(trial.intermediate_values.items()), dtype=np.float64) for trial in _with_curve(trials))
    return [np.array([point for point in curve if fits(point[1])]) for curve in found]


def history(shown: Shown) -> tuple[Figure, str] | None:
    """The best so far over the time since the study began, and over the machine time that it took."""
    ended = [trial for trial in shown.trials if trial.datetime_complete and trial.datetime_start]
    ended.sort(key=lambda trial: (trial.datetime_complete, trial.number))
    good = {trial.number for trial in shown.done}
    if len(good) < 2 or sum(trial.number in good for trial in ended) < 2:
        return None
    began = min(trial.datetime_start for trial in ended if trial.datetime_start)
    wall = np.array([(trial.datetime_complete - began).total_seconds() for trial in ended if trial.datetime_complete])
    machine = np.cumsum([float(epoch_of(trial).get("machine_seconds") or 0.0) for trial in ended])
    times = {"time since the first trial began": wall} | ({"machine time": machine} if machine[-1] > 0 else {})
    rows = np.array([trial.number in good for trial in ended])
    values = np.array([number_of(trial) for trial in ended])[rows]
    best = (np.maximum if shown.rises else np.minimum).accumulate(values)
    hand = _hand_tuned(shown.study)
    figure = Figure(figsize=(4.6 * len(times) if len(times) > 1 else 8, 3.9))
    panels = figure.subplots(1, len(times), sharey=True, squeeze=False)[0]
    for axes, (label, seconds) in zip(panels, times.items(), strict=True):
        unit, size = _unit(float(seconds[-1]))
        x = seconds[rows] / size
        few = np.array(some(range(len(x)), POINTS))
        axes.scatter(x[few], values[few], s=10, color=DONE, alpha=0.4, linewidths=0, label="a completed trial")
        axes.step([*x, seconds[-1] / size], [*best, best[-1]], where="post", color=BEST, label="the best so far")
        if hand is not None:
            axes.axhline(hand, color=INK, linestyle=":", linewidth=1.2, label="the best hand-tuned row")
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{label}, {unit}")
    panels[0].set_ylim(*shown.limits(values if hand is None else np.append(values, hand)))
    panels[0].set_ylabel(shown.metric)
    panels[-1].legend(loc="lower right" if shown.rises else "upper right")
    took = " and ".join(f"{duration(float(seconds[-1]))} of {label}" for label, seconds in times.items())
    note = drawn("completed trials", min(POINTS, len(values)), len(values)) + shown.hidden(values)
    return figure, f"The best completed trial so far, over {took}; trials at their ends.{note}"


def _hand_tuned(study: Study) -> float | None:
    rows = [float(row["val_acc"]) for row in study.user_attrs.get("baselines", [])]
    return max(rows) if rows and metric_of(study) == "val_acc" else None


def _unit(seconds: float) -> tuple[str, float]:
    return next(((u, size) for u, size in (("hours", 3600.0), ("minutes", 60.0)) if seconds > 2 * size), ("s", 1.0))


def front(study: Study) -> tuple[Figure, str] | None:
    """Two objectives against each other, and the trials that no other beats in both."""
    if len(study.directions) != 2:
        return None
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values = np.array([trial.values for trial in done if all(map(fits, trial.values))])
    best = np.array([trial.values for trial in ranked(study) if all(map(fits, trial.values))])
    if len(values) < 2:
        return None
    figure = Figure(figsize=(6, 4.5))
    axes = figure.subplots()
    few = np.array(some(range(len(values)), POINTS))
    axes.scatter(values[few, 0], values[few, 1], s=14, color=DONE, alpha=0.45, linewidths=0, label="a completed trial")
    if len(best):
        ordered = best[np.lexsort((best[:, 1], best[:, 0]))]
        axes.plot(*ordered.T, "o-", color=BEST, markersize=5, linewidth=1, label="not beaten in both")
    names = [
        f"{short(name, 40)} ({way.name.lower()})" for name, way in zip(metrics_of(study), study.directions, strict=True)
    ]
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.legend()
    return (
        figure,
        f"The two objectives, and the trials that no other beats in both.{drawn('trials', len(few), len(values))}",
    )


CLASSES = 12
"""At most so many are in the picture of confusions."""


def confusion(answers: Answers, trial: int) -> tuple[Figure, str] | None:
    """The classes that the trial confuses most: how often each was called what."""
    count = len(answers.classes)
    table = np.bincount(answers.labels.astype(np.int64) * count + answers.named, minlength=count * count)
    table = table.reshape(count, count)
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
            color = "white" if shares[row, column] > 0.6 else INK if column == row else BEST
            axes.text(column, row, str(value), ha="center", va="center", color=color, fontsize=9)
    names = [short(answers.classes[label], 20) for label in chosen]
    axes.set_xticks(range(len(chosen) + 1), [*names, "any other"], rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(chosen)), names)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return figure, (
        f"Trial {trial} on the validation images: of each class (row) how many are predicted as what. Mistakes in "
        f"orange; the {len(chosen)} of {count} classes with the most frequent ones hold {int(wrong[chosen].sum())} of "
        f"its {int(wrong.sum())} mistakes."
    )
