"""What a careful reader would note under the table, written from the study; each with its numbers, none without."""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.report.columns import accuracy, number
from search.report.statistics import difference, holm
from search.report.ties import images_of, right_of
from search.study import config_of, metric_of, ranked, value_of

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


def comments(study: Study, found: Mapping[str, Effect] | None = None) -> list[str]:
    """The comments, each a paragraph of Markdown; of several objectives none. `found`: the effects, if made already."""
    if len(study.directions) > 1:
        return []
    done = [trial for trial in ranked(study) if value_of(trial) is not None]
    said = [
        _gain(study, done),
        _settings(done, effects(study) if found is None else found),
        *_edges(done),
        _frozen(study, done),
        _pruning(study, done),
    ]
    return [text for text in said if text]


def _gain(study: Study, done: list[FrozenTrial]) -> str:
    """The best of the search against the best hand-tuned row."""
    own = [trial for trial in done if "baseline" not in trial.user_attrs]
    rows = study.user_attrs.get("baselines", [])
    if metric_of(study) != "val_acc" or not own or not rows:
        return ""
    best, hand = own[0], max(rows, key=lambda row: float(row["val_acc"]))
    value, old, images, right = value_of(best) or 0.0, float(hand["val_acc"]), images_of(best), right_of(best)
    text = (
        f"Trial {best.number} has {accuracy(value)}, the best hand-tuned row ({number(hand['name'])}) {accuracy(old)}"
    )
    text += f": {value - old:+.4f}"
    if images is None or right is None or abs(old * images - round(old * images)) > 1e-3:
        return f"{text}; how many images the row was measured on is not known, so the difference has no interval."
    low, high = difference(right, images, round(old * images), images)
    sure = "" if low > 0 or high < 0 else ", which holds 0: the search is not shown to have gained or lost"
    return f"{text}, 95% interval {low:+.4f} to {high:+.4f} (Newcombe, {images} images){sure}."


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


def _settings(done: list[FrozenTrial], found: Mapping[str, Effect]) -> str:
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


def _edges(done: list[FrozenTrial]) -> list[str]:
    """Settings whose best trials all lie at one end of their range."""
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
        for end, at, distance in ((range_.low, "lower", share), (range_.high, "upper", 1 - share)):
            if distance.max() <= EDGE and end != 0:  # below 0 there is seldom anything
                found = ", ".join(number(trial.params[name]) for trial in best)
                scale = " on its log scale" if range_.log else ""
                said.append(
                    f"The best {LEADERS} of {len(done)} trials have `{name}` within 5%{scale} of its {at} end, "
                    f"{number(end)} ({found}): widen the range there, if it can be."
                )
    return said


def _frozen(study: Study, done: list[FrozenTrial]) -> str:
    """What freezing cost or gave: medians by set, among trials that began with weights."""
    groups: dict[str, list[float]] = defaultdict(list)
    for trial in done:
        config = config_of(trial)
        if "frozen" in config and config.get("weights") is not None:
            name = ", ".join(config["frozen"]) if isinstance(config["frozen"], (list, tuple)) else str(config["frozen"])
            groups[name or "nothing"].append(value_of(trial) or 0.0)
    kept = {name: np.array(values) for name, values in groups.items() if len(values) >= 3}
    if len(kept) < 2:
        return ""
    medians = ", ".join(
        f"{name} {number(float(np.median(values)))} ({len(values)} trials)" for name, values in sorted(kept.items())
    )
    p = _medians_p(list(kept.values()))
    verdict = "more than chance gives" if p <= 0.05 else "no more than chance may give"
    return (
        f"Median {metric_of(study)} by what was frozen: {medians}. The medians differ by {verdict} (permutation test, "
        f"p = {p:.2g}); the other settings differed, too."
    )


def _medians_p(groups: list[NDArray[np.float64]]) -> float:
    """How often chance alone spreads the groups' mean ranks so far."""
    values = np.concatenate(groups)
    ranks = np.searchsorted(np.sort(values), values).astype(np.float64)
    ends = np.cumsum([len(group) for group in groups])[:-1]

    def spread(order: NDArray[np.float64]) -> float:
        return float(sum(len(part) * (part.mean() - ranks.mean()) ** 2 for part in np.split(order, ends)))

    generator = np.random.default_rng(0)
    found = spread(ranks) - 1e-9
    return (1 + sum(spread(generator.permutation(ranks)) >= found for _ in range(_SHUFFLES))) / (1 + _SHUFFLES)


def _pruning(study: Study, done: list[FrozenTrial]) -> str:
    """What pruning saved, and how many of the pruned were ahead of the winner when they were stopped."""
    states = (TrialState.PRUNED,)
    pruned = [trial for trial in study.get_trials(deepcopy=False, states=states) if trial.intermediate_values]
    whole = done[0].intermediate_values if done else {}
    if not pruned or not whole:
        return ""
    sign = 1 if study.direction == StudyDirection.MAXIMIZE else -1
    ran = sum(len(trial.intermediate_values) for trial in pruned)
    planned = len(pruned) * len(whole)
    last = [(max(trial.intermediate_values), trial) for trial in pruned]
    compared = [(trial.intermediate_values[step], whole[step]) for step, trial in last if step in whole]
    ahead = sum(sign * value > sign * winner for value, winner in compared)
    saved = (
        f"{len(pruned)} pruned trials ran {ran} epochs; at the winner's {len(whole)} each they would have run {planned}"
    )
    return (
        f"Pruning: {saved}. When they were stopped, {ahead} of {len(compared)} were ahead of what the winner (trial "
        f"{done[0].number}) had after as many epochs: these are what pruning may have cost."
    )
