"""Points of a space: its middle, and its neighbours that take every option once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import TrialPruned
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.errors import SearchError, first_line, nearest, option
from search.space.checks import shown
from search.space.file import SpaceFile
from search.space.space import SearchSpace, contains

optuna.logging.set_verbosity(optuna.logging.WARNING)  # not a line a point


@dataclass(frozen=True)
class Point:
    """A point of a space: the settings there, its Optuna parameters and the dimensions that it has."""

    settings: dict[str, Any]
    params: dict[str, Any]
    distributions: dict[str, BaseDistribution]
    chosen: dict[str, Any] = field(default_factory=dict)


class Middle(BaseSampler):
    """The first option of every choice and the middle of every range, but for what is `chosen` by name."""

    def __init__(self, chosen: Mapping[str, Any]) -> None:
        self._chosen = chosen

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._chosen[param_name] if param_name in self._chosen else _middle(param_distribution)


def _middle(distribution: Any) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    low, high = distribution.low, distribution.high
    value = math.sqrt(low * high) if distribution.log else (low + high) / 2
    if distribution.step is not None:
        value = low + round((value - low) / distribution.step) * distribution.step
    value = round(value) if isinstance(distribution, IntDistribution) else float(f"{value:.4g}")
    return min(max(value, low), high)


class Infeasible(SearchError):
    """A define-by-run space has pruned the point."""


def draw(space: SpaceFile, sampler: BaseSampler) -> Point:
    """The point that `sampler` takes. Raises SearchError for what a define-by-run space raises or returns.

    Of these, Infeasible for optuna.TrialPruned.
    """
    trial = optuna.create_study(sampler=space.keep_fixed(sampler)).ask()
    try:
        settings = space.suggest(trial)
    except SearchError as error:
        raise SearchError(f"{shown(space.path)}: {error}") from None
    except TrialPruned as error:
        raise Infeasible(f"{shown(space.path)}: space(trial) pruned the point: {first_line(error)}") from None
    except (Exception, SystemExit) as error:  # the user's own function
        raise SearchError(
            f"{shown(space.path)}: space(trial) raised {type(error).__name__}: {first_line(error)}"
        ) from None
    if said := outside(trial.params, trial.distributions):
        raise SearchError(f"{shown(space.path)}: {said}")
    return Point(settings, dict(trial.params), dict(trial.distributions))


def outside(params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> str:
    """Which of the values is none that its distribution may give, and what that may give; empty if there is none.

    A sampler, a queued point and ``--set`` may each bring one, and Optuna takes it with a warning.
    """
    for name, value in params.items():
        range_ = distributions[name]
        if not contains(range_, value):
            return f"{name} = {value!r:.50} is {_range(range_)}, as the space has it{_label(value, range_)}"
    return ""


def _label(value: Any, range_: BaseDistribution) -> str:
    """What to write for an option that was given itself."""
    known = isinstance(range_, CategoricalDistribution) and str(value) in range_.choices
    return f"; its options go by their labels: write {str(value)!r}" if known else ""


def _range(distribution: Any) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return f"not one of {', '.join(map(repr, distribution.choices)):.100}"
    integer = isinstance(distribution, IntDistribution)
    if distribution.low == distribution.high:
        return f"not {distribution.low:.10g}"
    step = "" if distribution.step in (None, 1 if integer else None) else f" in steps of {distribution.step:.10g}"
    return f"{'no integer' if integer else 'not'} from {distribution.low:.10g} to {distribution.high:.10g}{step}"


TRIED = 100
"""So many random points more than are wanted are drawn from a space that prunes some."""


def drawn(space: SpaceFile, wanted: int) -> list[Point]:
    """So many random points that the space does not prune; fewer if it prunes most. Raises SearchError."""
    found: list[Point] = []
    pruned: Infeasible | None = None
    for seed in range(wanted + TRIED):
        try:
            found.append(draw(space, RandomSampler(seed=seed)))
        except Infeasible as error:
            pruned = error
        if len(found) == wanted:
            break
    if not found and pruned is not None:
        raise SearchError(f"{pruned}; so it did with each of {wanted + TRIED} random points")
    return found


def check_fixed(space: SpaceFile) -> None:
    """A define-by-run space has points, and every name that --set fixes in it is one that some of them have."""
    if isinstance(space.space, SearchSpace):
        return
    points = drawn(space, 20 if space.fixed else 1)
    names = {name for point in points for name in {*point.settings, *point.distributions}}
    for name, value in space.fixed.items():
        if name not in names:
            raise SearchError(f"{option('set', f'{name}={value}')}: unknown setting {name!r}{nearest(name, names)}")


def at(space: SpaceFile, chosen: Mapping[str, Any]) -> Point:
    """The middle of `space`, but for the dimensions that are `chosen`; a random point where the middle is pruned."""
    try:
        point = draw(space, Middle(chosen))
    except Infeasible:
        if chosen:
            raise
        point = drawn(space, 1)[0]
    return Point(point.settings, point.params, point.distributions, dict(chosen))


def neighbours(space: SpaceFile, base: Point) -> Iterator[tuple[str, Any, Point | SearchError]]:
    """Every other option of every dimension, and both ends of every range: name, option and the point that takes it.

    All else is as in `base`. Dimensions that only some options have, a branch's, are taken where they first appear.
    A define-by-run function that raises there gives its error.
    """
    seen = set(space.fixed)
    waiting = [base]
    while waiting:
        here = waiting.pop(0)
        for name, distribution in here.distributions.items():
            if name in seen:
                continue
            seen.add(name)
            for other in _options(distribution):
                if other == here.params[name]:
                    continue
                try:
                    point = at(space, {**here.chosen, name: other})
                except SearchError as error:
                    yield name, other, error
                    continue
                yield name, other, point
                waiting.append(point)


def _options(distribution: Any) -> tuple[Any, ...]:
    if isinstance(distribution, CategoricalDistribution):
        return tuple(distribution.choices)
    return (distribution.low, distribution.high)


def rate_range(point: Point) -> tuple[float, float]:
    """The lowest and the highest learning rate that the space has about `point`; twice the same where it is fixed."""
    for name, distribution in point.distributions.items():
        if name.rpartition(".")[2] == "lr" and isinstance(distribution, FloatDistribution):
            return distribution.low, distribution.high
    rate = float(point.settings["lr"])
    return rate, rate
