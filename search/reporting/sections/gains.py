"""What a careful reader would note under the table, written from the study; each with its numbers, none without."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.analysis import importance
from search.analysis.importance import Effect
from search.analysis.statistics import difference, paired_difference
from search.analysis.ties import alike, bits_of, images_of, ones, right_of
from search.format import format_number
from search.reporting.columns import accuracy, escape_cell
from search.reporting.sections import pruning
from search.study.study import config_of, metric_of, ranked, value_of

_SHUFFLES = 999


def comments(study: Study, found: Mapping[str, Effect] | None = None) -> list[str]:
    """The comments, each a paragraph of Markdown; of several objectives none. `found`: the effects, if made already."""
    if len(study.directions) > 1:
        return []
    done = [trial for trial in ranked(study) if value_of(trial) is not None]
    found = importance.effects(study) if found is None else found
    said = [*_gains(study, done), importance.settings(done, found), *importance.edges(done), _frozen(study, done)]
    said += [pruning.saved(study, done), pruning.audit(study, done)]
    return [text for text in said if text]


def _gains(study: Study, done: list[FrozenTrial]) -> list[str]:
    """The best of the search against the best hand-tuned row, and against the best of those that ran here."""
    own = [trial for trial in done if "baseline" not in trial.user_attrs]
    if metric_of(study) != "val_acc" or not own:
        return []
    here = next((trial for trial in done if "baseline" in trial.user_attrs), None)
    paired = _paired_gain(study, own[0], here) if here else ""
    rows = study.user_attrs.get("baselines", [])
    hand = max(rows, key=lambda row: float(row["val_acc"]), default=None)
    if hand is None or (paired and here and here.user_attrs["baseline"] == hand["name"]):
        return [paired]
    return [_gain(own[0], hand), paired]


def _paired_gain(study: Study, best: FrozenTrial, here: FrozenTrial) -> str:
    """`best` against a hand-tuned row that was trained in this study, image by image; empty without their bits."""
    a, b = bits_of(study, best), bits_of(study, here)
    images = images_of(best)
    if a is None or b is None or images is None or not alike(best, here):
        return ""
    only_a, only_b, both = (int(ones(bits)) for bits in (a & ~b, b & ~a, a & b))
    text = (
        f"On the same {images} images trial {best.number} names {only_a} right that the hand-tuned row "
        f"{escape_cell(here.user_attrs['baseline'])}, trained here as trial {here.number}, does not, and the row "
        f"{only_b} that the trial does not: {(only_a - only_b) / images:+.4f}"
    )
    return text + _interval(*paired_difference(both, only_a, only_b, images), "Newcombe, paired")


def _interval(low: float, high: float, method: str) -> str:
    sure = "" if low > 0 or high < 0 else ", which holds 0: the search is not shown to have gained or lost"
    return f", 95% interval {low:+.4f} to {high:+.4f} ({method}){sure}."


def _gain(best: FrozenTrial, hand: Mapping[str, Any]) -> str:
    value, old, images, right = value_of(best) or 0.0, float(hand["val_acc"]), images_of(best), right_of(best)
    text = f"Trial {best.number} has {accuracy(value)}, the best hand-tuned row "
    text += f"({escape_cell(hand['name'])}) {accuracy(old)}"
    text += f": {value - old:+.4f}"
    if images is None or right is None or abs(old * images - round(old * images)) > 1e-3:
        return f"{text}; how many images the row was measured on is not known, so the difference has no interval."
    return text + _interval(*difference(right, images, round(old * images), images), f"Newcombe, {images} images")


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
        f"{name} {format_number(float(np.median(values)))} ({len(values)} trials)"
        for name, values in sorted(kept.items())
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
