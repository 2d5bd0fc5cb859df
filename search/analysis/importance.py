"""Which settings mattered, and which of them lie at the end of their range."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from search.analysis.statistics import holm
from search.config import TrainConfig, check_value, is_train_config
from search.errors import SearchError
from search.format import format_number
from search.study.study import config_of, ranked, value_of

FEW = 20
"""Of fewer completed trials nothing is said about which settings matter."""
MANY = 50
"""Of fewer, it is said with a caveat."""
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
        """Whether it is shown to matter."""
        return self.p <= 0.05


def effects(study: Study) -> dict[str, Effect]:
    """The effect of each setting that all completed trials share; none of few trials, or of several objectives."""
    if len(study.directions) > 1:
        return {}
    done = [trial for trial in ranked(study) if value_of(trial) is not None]
    shared = [name for name, range_ in _ranges(done).items() if not range_.single()] if len(done) >= FEW else []
    if not shared:
        return {}
    minimize = study.direction == StudyDirection.MINIMIZE
    p = holm([_p_value(done, name, minimize) for name in shared])
    weights = _importances(study, shared) if p.min() <= 0.05 else dict.fromkeys(shared, math.nan)
    return {name: Effect(weights[name], float(value)) for name, value in zip(shared, p, strict=True)}


def settings(done: list[FrozenTrial], found: Mapping[str, Effect]) -> str:
    """Which settings mattered: importance is PED-ANOVA's, and a permutation test must support it."""
    if not found:
        return ""
    kept = {name: effect for name, effect in found.items() if effect.shown}
    basis = f"of {len(done)} completed trials; permutation test, Holm over {len(found)} settings"
    if not kept:
        return f"No setting is shown to matter ({basis})."
    ordered = sorted(kept.items(), key=lambda item: (-item[1].importance, item[1].p))
    listed = ", ".join(f"`{name}` (importance {e.importance:.2f}, p = {e.p:.2g})" for name, e in ordered)
    text = f"What mattered: {listed} (PED-ANOVA, {basis})."
    rest = [f"`{name}`" for name in found if name not in kept]
    text += f" Not shown to matter: {', '.join(rest)}." if rest else ""
    few = f" With fewer than {MANY} completed trials this is a hint." if len(done) < MANY else ""
    return text + few


def _ranges(done: list[FrozenTrial]) -> dict[str, Any]:
    """The distribution of each parameter that every trial has, the same in all."""
    first = done[0].distributions if done else {}
    return {name: range_ for name, range_ in first.items() if all(t.distributions.get(name) == range_ for t in done)}


def _importances(study: Study, names: list[str]) -> dict[str, float]:
    with _without_sklearn():
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(), params=names)


@contextmanager
def _without_sklearn() -> Iterator[None]:
    """Optuna imports scikit-learn for another evaluator, which takes a second and which it can do without."""
    if "sklearn" in sys.modules:
        yield
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment] # Python's own way to say that it is not there
    try:
        yield
    finally:
        del sys.modules["sklearn"]


def _p_value(done: list[FrozenTrial], name: str, minimize: bool) -> float:
    """How often chance alone ties `name` so closely to being among the best third of the ten trials run near by.

    Near by, because a sampler narrows its settings as its values rise: over the whole study all of them would seem
    to matter. The statistic is chi-square's, of the best third against the bins of the setting.
    """
    trials = sorted(done, key=lambda trial: trial.number)
    values = np.array([value_of(trial) for trial in trials], dtype=np.float64) * (1 if minimize else -1)
    cells = _cells(trials, name)
    generator = np.random.default_rng(0)  # the same page every time
    observed, chance = np.zeros(cells.shape[1]), np.zeros((_SHUFFLES, cells.shape[1]), dtype=np.float32)
    expected = np.zeros(cells.shape[1])
    for block in np.array_split(np.arange(len(trials)), max(1, len(trials) // _NEIGHBOURS)):
        best = block[np.argsort(values[block], kind="stable")[: max(1, len(block) // 3)]]
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


def edges(done: list[FrozenTrial]) -> list[str]:
    """Settings whose best trials all lie at one end of their range, and how far to widen it; `done`: best first."""
    best, said = done[:LEADERS], []
    if len(done) < 3 * LEADERS:
        return []
    for name, range_ in _ranges(best).items():
        if not isinstance(range_, (FloatDistribution, IntDistribution)) or range_.high <= range_.low:
            continue
        if isinstance(range_, IntDistribution) and (range_.high - range_.low) // (range_.step or 1) < 4:
            continue
        ends = np.array([range_.low, range_.high], dtype=np.float64)
        values = np.array([float(trial.params[name]) for trial in best])
        if range_.log:
            ends, values = np.log(ends), np.log(values)
        share = (values - ends[0]) / (ends[1] - ends[0])
        for upper, distance in ((False, share), (True, 1 - share)):
            end = range_.high if upper else range_.low
            if distance.max() <= EDGE and end != 0:  # below 0 there is seldom anything
                found = ", ".join(format_number(trial.params[name]) for trial in best)
                scale = " on its log scale" if range_.log else ""
                said.append(
                    f"The best {LEADERS} of {len(done)} trials have `{name}` within 5%{scale} of its "
                    f"{'upper' if upper else 'lower'} end, {format_number(end)} ({found}): "
                    + _wider(name, range_, upper, is_train_config(config_of(best[0])))
                )
    return said


def _wider(name: str, range_: FloatDistribution | IntDistribution, upper: bool, checked: bool) -> str:
    """What to do: half as wide again at that end, if the trainer takes it (`checked`: it is the built-in one)."""
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
        if checked and field in TrainConfig.model_fields:
            check_value(field, new)
    except SearchError:  # a momentum of 1.2
        return "widen the range there, if it can be."
    if not upper and low > 0 >= new:  # what was positive stays so
        return "widen the range there, if it can be."
    return f"widen the range there, to {format_number(new)} for example."
