"""Each setting as an axis: its range, its scale and the trials on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial

from search.format import format_number
from search.reporting.plots.canvas import PANELS, Floats, short

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
        values = [float(np.exp(mark) if self.log else mark) for mark in marks]
        return [(share, self._text(value)) for share, value in zip(shares, values, strict=True)]

    def _text(self, value: float) -> str:
        whole = round(value) if abs(value) < 2**53 else value
        return format_number(whole if self.whole and math.isclose(whole, value) else value, 2)

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


def settings_of(done: Sequence[FrozenTrial], least: int) -> tuple[list[Axis], str]:
    """The first PANELS settings that differ, if there are `least` trials; what a caption says of the others."""
    axes = axes_of(done) if len(done) >= least else []
    more = len(axes) - PANELS
    return axes[:PANELS], f" Of {len(axes)} settings, the first {PANELS} are drawn." if more > 0 else ""


def spread(axis: Axis) -> Floats:
    """(T,): options a little apart, so that trials do not hide each other; the same way every time."""
    if not axis.options:
        return axis.values
    return axis.values + np.random.default_rng(0).uniform(-0.22, 0.22, len(axis.values))
