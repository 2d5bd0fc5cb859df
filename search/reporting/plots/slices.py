"""Pictures of the settings: each as an axis, and what the metric does along it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial

from search.analysis.importance import Effect
from search.format import format_number
from search.reporting.plots.canvas import (
    BEST,
    DONE,
    FADED,
    INK,
    LINES,
    PANELS,
    POINTS,
    Floats,
    Shown,
    drawn,
    short,
    some,
)

_TICKS = 8


@dataclass(frozen=True)
class Axis:
    """One setting. `values`: (T,), a number a trial, NaN where it has none; of options their places, from 0.

    `ends`: of its range. `options`: their names; none of a number. `log`: whether the range is logarithmic.
    """

    name: str
    values: Floats
    ends: tuple[float, float]
    options: tuple[str, ...] = ()
    log: bool = False

    def shares(self) -> Floats:
        """(T,): how far each lies from the lower end, 0, to the upper, 1, on the setting's own scale."""
        values, (low, high) = (np.log(self.values), np.log(self.ends)) if self.log else (self.values, self.ends)
        shares: Floats = (values - low) / (high - low)
        return shares

    def ticks(self) -> list[tuple[float, str]]:
        """Share and text of some ticks: the options, or the ends and what lies between."""
        if self.options:
            count = len(self.options) - 1
            every = -(-len(self.options) // _TICKS)
            return [(i / count, short(name)) for i, name in enumerate(self.options) if i % every == 0]
        low, high = np.log(self.ends) if self.log else self.ends
        marks = np.linspace(low, high, 2 if self.whole else 3)
        shares = np.linspace(0, 1, len(marks))
        return [
            (share, format_number(float(np.exp(mark) if self.log else mark), 2))
            for share, mark in zip(shares, marks, strict=True)
        ]

    @property
    def whole(self) -> bool:
        """Whether all values are whole numbers."""
        return bool(np.all(np.mod(self.values[~np.isnan(self.values)], 1) == 0))


def axes_of(trials: Sequence[FrozenTrial]) -> list[Axis]:
    """The settings that differ between the trials, in the order in which they were first asked for."""
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    axes = [_axis(name, trials) for name in names]
    return [axis for axis in axes if len(np.unique(axis.values[~np.isnan(axis.values)])) > 1]


def _axis(name: str, trials: Sequence[FrozenTrial]) -> Axis:
    held = {id(trial.distributions[name]): trial.distributions[name] for trial in trials if name in trial.params}
    ranges = list(held.values())
    if any(isinstance(range_, CategoricalDistribution) for range_ in ranges):
        return _of_options(name, trials, ranges)
    values = np.array([float(trial.params.get(name, np.nan)) for trial in trials])
    low = min([float(np.nanmin(values)), *(float(getattr(range_, "low", np.inf)) for range_ in ranges)])
    high = max([float(np.nanmax(values)), *(float(getattr(range_, "high", -np.inf)) for range_ in ranges)])
    return Axis(name, values, (low, high), (), low > 0 and any(getattr(range_, "log", False) for range_ in ranges))


def _of_options(name: str, trials: Sequence[FrozenTrial], ranges: Sequence[BaseDistribution]) -> Axis:
    listed = [str(option) for range_ in ranges for option in getattr(range_, "choices", ())]
    taken = {str(trial.params[name]) for trial in trials if name in trial.params}
    options = tuple(option for option in dict.fromkeys([*listed, *sorted(taken)]) if option in taken)
    place = {option: float(i) for i, option in enumerate(options)}
    values = [place[str(trial.params[name])] if name in trial.params else np.nan for trial in trials]
    return Axis(name, np.array(values), (0.0, len(options) - 1.0), options)


def slices(shown: Shown) -> tuple[Figure, str] | None:
    """The metric over each setting, a panel each."""
    axes_, note = _settings_of(shown, 2)
    if not axes_:
        return None
    columns = min(len(axes_), 3 if len(axes_) in (5, 6, 9) else 4)
    rows = -(-len(axes_) // columns)
    figure = Figure(figsize=(max(2.4 * columns, 4.5), 2.3 * rows + 0.3))
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    few = np.array(some(range(len(shown.done)), POINTS))
    for panel in panels.flat[len(axes_) :]:
        panel.set_visible(False)
    for panel, axis in zip(panels.flat, axes_, strict=False):
        spread = _spread(axis)
        panel.scatter(spread[few], shown.values[few], s=12, color=DONE, alpha=0.45, linewidths=0)
        panel.scatter(spread[:1], shown.values[:1], s=32, color=BEST, linewidths=0, zorder=3)
        stopped = some([trial.params[axis.name] for trial in shown.pruned if axis.name in trial.params], LINES)
        if axis.options:
            panel.set_xticks(range(len(axis.options)), [short(name, 10) for name in axis.options])
            panel.set_xlim(-0.6, len(axis.options) - 0.4)
            if len(axis.options) > 3:
                panel.tick_params(axis="x", rotation=90)
        else:
            panel.plot(stopped, np.full(len(stopped), 0.02), "|", color=FADED, alpha=0.5, markersize=6,
                       transform=panel.get_xaxis_transform())  # fmt: skip
            _scale(panel, axis)
        panel.set_xlabel(short(axis.name, 28))
    panels[0, 0].set_ylim(*shown.limits(shown.values))
    for panel in panels[:, 0]:
        panel.set_ylabel(shown.metric)
    ticks = " Ticks at the bottom: where trials were pruned." if shown.pruned else ""
    note += drawn("trials", len(few), len(shown.done)) + shown.hidden(shown.values)
    return figure, f"The completed trials over each setting, the best in orange.{ticks}{note}"


def _scale(panel: Axes, axis: Axis) -> None:
    low, high = np.log(axis.ends) if axis.log else axis.ends
    room = np.array([low - 0.04 * (high - low), high + 0.04 * (high - low)])
    panel.set_xlim(*(np.exp(np.clip(room, -700, 700)) if axis.log else room))
    if axis.log:
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(numticks=4))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("e-0", "e-")))
        panel.xaxis.set_minor_formatter(NullFormatter())
    else:
        panel.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=axis.whole))


def _settings_of(shown: Shown, least: int) -> tuple[list[Axis], str]:
    axes = axes_of(shown.done) if len(shown.done) >= least else []
    more = len(axes) - PANELS
    return axes[:PANELS], f" Of {len(axes)} settings, the first {PANELS} are drawn." if more > 0 else ""


def _spread(axis: Axis) -> Floats:
    """(T,): options a little apart, so that trials do not hide each other; the same way every time."""
    if not axis.options:
        return axis.values
    return axis.values + np.random.default_rng(0).uniform(-0.22, 0.22, len(axis.values))


def parallel(shown: Shown) -> tuple[Figure, str] | None:
    """A line a completed trial through all its settings to its value, the better the darker."""
    settings, note = _settings_of(shown, 3)
    if len(settings) < 2 or shown.values.max() == shown.values.min():
        return None
    settings = [*settings, Axis(shown.metric, shown.values, (float(shown.values.min()), float(shown.values.max())))]
    rows = np.array(some(range(len(shown.done)), LINES))[::-1]  # the best last, in front
    columns = []
    for axis in settings:
        places = axis.shares()
        if axis.options:
            places = places + (_spread(axis) - axis.values) / (4 * len(axis.options))
        columns.append(np.where(np.isnan(places), -0.13, places))
    heights = np.stack(columns, axis=1)[rows]
    figure = Figure(figsize=(max(8.0, 1.25 * len(settings)), 4.6))
    axes = figure.subplots()
    lines = np.stack([np.broadcast_to(np.arange(len(settings)), heights.shape), heights], axis=2)
    rank = 1 - rows / max(rows.max(), 1)
    axes.add_collection(
        LineCollection(list(lines), array=rank, cmap="Blues", clim=(-0.35, 1.1), linewidths=1, alpha=0.7)
    )
    axes.plot(np.arange(len(settings)), heights[-1], color=BEST, linewidth=2.2)
    for x, axis in enumerate(settings):
        axes.axvline(x, color=INK, linewidth=0.8)
        for share, text in axis.ticks():
            axes.text(
                x + 0.04, share, text, fontsize=8, va="center", bbox=dict(fc="white", ec="none", alpha=0.75, pad=0.8)
            )
    absent = any(np.isnan(axis.values).any() for axis in settings)
    axes.set_ylim(-0.2 if absent else -0.06, 1.06)
    axes.set_xlim(-0.1, len(settings) - 0.55)
    axes.set_xticks(range(len(settings)), [short(axis.name, 18) for axis in settings])
    axes.set_yticks([-0.13] if absent else [], ["not set"] if absent else [])
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    note += drawn("trials", len(rows), len(shown.done))
    return (
        figure,
        f"Each line a completed trial, the better the darker; the best in orange; log scales as the ranges have.{note}",
    )


def importances(effects: Mapping[str, Effect]) -> tuple[Figure, str] | None:
    """A bar a setting, where one of them is shown to matter."""
    if not any(effect.shown for effect in effects.values()):
        return None
    ordered = sorted(effects.items(), key=lambda item: item[1].importance)
    figure = Figure(figsize=(6.5, 0.9 + 0.32 * len(ordered)))
    axes = figure.subplots()
    weights = [effect.importance for _, effect in ordered]
    bars = axes.barh(range(len(ordered)), weights, color=[DONE if effect.shown else FADED for _, effect in ordered])
    axes.bar_label(bars, [f"p = {effect.p:.2g}" for _, effect in ordered], padding=4, fontsize=8.5)
    axes.set_yticks(range(len(ordered)), [short(name, 28) for name, _ in ordered])
    axes.set_xlim(0, max(weights) * 1.15)
    axes.set_xlabel("importance (PED-ANOVA), a share")
    axes.grid(visible=False, axis="y")
    return figure, "The settings that are shown to matter in blue, the others in grey; p of the permutation test."
