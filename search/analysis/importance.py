"""How much each setting matters, and which settings have their best values at the end of their range."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, create_trial

from search.analysis.censored import comparable, scores
from search.analysis.statistics import holm
from search.config import TrainConfig, check_value, is_train_config
from search.errors import SearchError
from search.study.attributes import config_of, loss_signs

FEW = 20
"""With fewer completed trials no effect is measured."""
EDGE, LEADERS = 0.05, 4
_SHUFFLES, _NEIGHBOURS = 999, 10


@dataclass(frozen=True)
class Effect:
    """What a setting does to the metric: PED-ANOVA's share, and the p of a permutation test, after Holm.

    The share is NaN where no setting is shown to matter.
    """

    importance: float
    p: float

    @property
    def shown(self) -> bool:
        """Whether it is shown to matter; what rounds to an importance of 0.00 does not."""
        return self.p <= 0.05 and not self.importance < 0.005


def effects(study: Study, done: list[FrozenTrial], pruned: Sequence[FrozenTrial] = ()) -> dict[str, Effect]:
    """The effect of each setting that all trials share; empty if all of them are fewer than FEW.

    `done`: the completed trials; `pruned`: those that were stopped, which count by their curves.
    """
    trials, ranges, sign = compared(study, done, pruned)
    shared = list(ranges) if done and len(trials) >= FEW else []
    if not shared:
        return {}
    p = holm([_p_value(trials, name, sign) for name in shared])
    weights = (
        _importances(trials, {n: ranges[n] for n in shared}, sign)
        if p.min() <= 0.05
        else dict.fromkeys(shared, math.nan)
    )
    return {name: Effect(weights[name], float(value)) for name, value in zip(shared, p, strict=True)}


def compared(
    study: Study, done: Sequence[FrozenTrial], pruned: Sequence[FrozenTrial]
) -> tuple[list[FrozenTrial], dict[str, Any], int]:
    """The trials that tell what a setting does, ranges that vary in all of them, and -1 where less is better, or 1."""
    trials = [*done, *filter(comparable, pruned)]
    ranges = {name: range_ for name, range_ in shared_ranges(trials).items() if not range_.single()}
    return trials, ranges, -loss_signs(study)[0]


def shared_ranges(done: list[FrozenTrial]) -> dict[str, Any]:
    """The distribution of each parameter that every trial has; of a range that was extended, the widest.

    Without ranges that differ in more than their ends.
    """
    first = done[0].distributions if done else {}
    found = {name: _widest([trial.distributions.get(name) for trial in done]) for name in first}
    return {name: range_ for name, range_ in found.items() if range_ is not None}


def _widest(ranges: Sequence[BaseDistribution | None]) -> BaseDistribution | None:
    """One range that holds all of them; None if they differ in more than their ends."""
    different: list[Any] = []
    for range_ in ranges:
        if range_ not in different:
            different.append(range_)
    if len(different) < 2:
        return different[0] if different else None
    first = different[0]
    kinds = {(type(range_), getattr(range_, "log", None), getattr(range_, "step", None)) for range_ in different}
    if len(kinds) > 1 or not isinstance(first, (FloatDistribution, IntDistribution)):
        return None
    low, high = min(range_.low for range_ in different), max(range_.high for range_ in different)
    widest: BaseDistribution = type(first)(low, high, log=first.log, step=first.step)  # type: ignore[arg-type] # bounds of its own kind
    return widest


def _importances(trials: list[FrozenTrial], ranges: dict[str, Any], sign: int) -> dict[str, float]:
    """PED-ANOVA's shares, which depend on the order of the trials alone."""
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances  # late: a second, of scikit-learn

    ordered = optuna.create_study(direction="maximize", storage=optuna.storages.InMemoryStorage())
    ordered.add_trials(
        create_trial(
            value=float(score),
            params={name: trial.params[name] for name in ranges},
            distributions=ranges,
        )
        for trial, score in zip(trials, scores(trials, sign), strict=True)
    )
    return get_param_importances(ordered, evaluator=PedAnovaImportanceEvaluator(), params=[*ranges])


def _p_value(done: list[FrozenTrial], name: str, sign: int) -> float:
    """How often chance alone ties `name` so closely to being among the best third of the ten trials run near by.

    Near by, because a sampler narrows its settings as its values rise: over the whole study all of them would seem
    to matter. The statistic is chi-square's, of the best third against the bins of the setting.
    """
    trials = sorted(done, key=lambda trial: trial.number)
    cells = _cells(trials, name)
    generator = np.random.default_rng(0)  # the same page every time
    observed, chance = np.zeros(cells.shape[1]), np.zeros((_SHUFFLES, cells.shape[1]), dtype=np.float32)
    expected = np.zeros(cells.shape[1])
    for block in np.array_split(np.arange(len(trials)), max(1, len(trials) // _NEIGHBOURS)):
        order = np.argsort(-scores([trials[i] for i in block], sign), kind="stable")
        best = block[order[: max(1, len(block) // 3)]]
        observed += cells[best].sum(0)
        expected += cells[block].sum(0) * len(best) / len(block)
        drawn = np.argpartition(generator.random((_SHUFFLES, len(block))), len(best) - 1)[:, : len(best)]
        chance += cells[block][drawn].sum(1)
    weight = 1 / np.maximum(expected, 1e-9)
    found = ((observed - expected) ** 2 * weight).sum()
    return float((1 + (((chance - expected) ** 2 * weight).sum(1) >= found - 1e-6).sum()) / (1 + _SHUFFLES))


def _cells(trials: list[FrozenTrial], name: str) -> NDArray[np.float32]:
    """One-hot (T, B): the option taken, or the quarter of all values that the trial's lies in."""
    if isinstance(trials[0].distributions[name], CategoricalDistribution):
        seen = sorted({repr(trial.params[name]) for trial in trials})
        index = np.array([seen.index(repr(trial.params[name])) for trial in trials])
    else:
        values = np.array([float(trial.params[name]) for trial in trials])
        index = np.searchsorted(np.unique(np.quantile(values, (0.25, 0.5, 0.75))), values, side="right")
    onehot: NDArray[np.float32] = np.eye(int(index.max()) + 1, dtype=np.float32)[index]
    return onehot


@dataclass(frozen=True)
class Edge:
    """A setting whose best trials all lie within the share EDGE of one end of its range."""

    name: str
    upper: bool
    """Whether it is the upper end."""
    log: bool
    """Whether the range is logarithmic."""
    end: float
    values: tuple[float, ...]
    """Those of the LEADERS best trials, the best first."""
    wider: float | None
    """Where the range could end instead; None if the setting takes no such value."""


def edges(done: Sequence[FrozenTrial]) -> list[Edge]:
    """The settings whose best trials lie at one end of their range; `done`: the completed trials, the best first."""
    best = list(done[:LEADERS])
    if len(done) < 3 * LEADERS:
        return []
    return [
        Edge(name, upper, range_.log, end, tuple(t.params[name] for t in best), _wider(name, range_, upper, best[0]))
        for name, range_ in shared_ranges(best).items()
        if isinstance(range_, (FloatDistribution, IntDistribution)) and _steps(range_) >= 4
        for upper, end in ((False, range_.low), (True, range_.high))
        if end != 0 and _farthest(best, name, range_, upper) <= EDGE  # below 0 there is seldom anything
    ]


def _steps(range_: FloatDistribution | IntDistribution) -> float:
    if range_.high <= range_.low:
        return 0
    return math.inf if isinstance(range_, FloatDistribution) else (range_.high - range_.low) // (range_.step or 1)


def _farthest(best: list[FrozenTrial], name: str, range_: FloatDistribution | IntDistribution, upper: bool) -> float:
    """The distance of the farthest of the trials from that end, as a share of the range on its own scale."""
    ends = np.array([range_.low, range_.high], dtype=np.float64)
    values = np.array([float(trial.params[name]) for trial in best])
    if range_.log:
        ends, values = np.log(ends), np.log(values)
    share = (values - ends[0]) / (ends[1] - ends[0])
    return float((1 - share if upper else share).max())


def _wider(name: str, range_: FloatDistribution | IntDistribution, upper: bool, best: FrozenTrial) -> float | None:
    """The range's end if it were half as wide again there; None if the built-in trainer does not take it."""
    low, high = float(range_.low), float(range_.high)
    if range_.log:
        end = high * math.sqrt(high / low) if upper else low / math.sqrt(high / low)
    else:
        end = high + (high - low) / 2 if upper else low - (high - low) / 2
    new: float | int = float(f"{end:.1g}") if range_.log else float(f"{end:.3g}")
    if isinstance(range_, IntDistribution):
        new = range_.low + round((end - low) / range_.step) * range_.step
    field = name.rpartition(".")[2]
    try:
        if is_train_config(config_of(best)) and field in TrainConfig.model_fields:
            check_value(field, new)
    except SearchError:  # a momentum of 1.2
        return None
    return None if not upper and low > 0 >= new else new  # a positive setting stays positive
