"""How many trials are statistically tied with the first, and which of them is the cheapest."""

from __future__ import annotations

import math
from statistics import median

from optuna.trial import FrozenTrial

from search.analysis.cost import seconds_an_epoch, taken
from search.analysis.ties import sample_of
from search.analysis.view import StudyView
from search.format import format_number, plural
from search.reporting.section import Section
from search.study.attributes import config_of

_METHOD = "{}, Holm over the rows, 5%"
_LIMIT = (
    "The test accounts for the choice of images. It does not account for the seeds, nor for the choice of the first "
    "as the best."
)


def section(view: StudyView) -> Section | None:
    if view.several:
        return None  # no trial is the first
    first, found = view.ties.first, view.ties
    if first is None or not found.p:
        text = "Ties are not tested: that needs the trials' predictions, which are not in the run folder."
        return Section(text) if len(view.ranked) > 1 else None
    tied = [trial for trial in view.ranked if found.tied(trial.number)]
    method = _METHOD.format(found.method)
    limit = _LIMIT + _of_other_images(view, first)
    if not tied:
        which = f"All {len(found.p)} trials tested differ" if len(found.p) > 1 else "The only trial tested differs"
        return Section(f"{which} from trial {first.number} ({method}). {limit}")
    is_ = "is" if len(tied) == 1 else "are"
    which = f"{len(tied)} of {plural(len(found.p), 'trial')} tested"
    text = f"{which} {is_} statistically tied with trial {first.number} ({method})"
    return Section(f"{text}. {_cheapest(first, tied)}{limit}")


def _of_other_images(view: StudyView, first: FrozenTrial) -> str:
    others = [trial.number for trial in view.ranked if sample_of(trial) != sample_of(first)]
    if not others:
        return ""
    which = f"Trial {others[0]} is" if len(others) == 1 else f"{len(others)} trials are"
    return f" {which} not tested: of other images than trial {first.number}, or of images that are not known."


def _cheapest(first: FrozenTrial, tied: list[FrozenTrial]) -> str:
    """Which is the cheapest, as far as sizes differ, or times of an epoch beyond those of trials of one size."""
    groups: dict[object, list[FrozenTrial]] = {}
    for trial in (first, *tied):
        groups.setdefault(_size(trial), []).append(trial)
    times = {
        size: [t for trial in group if (t := seconds_an_epoch(trial)) is not None] for size, group in groups.items()
    }
    if not all(times.values()):
        return ""
    if len(groups) == 1:
        return "They cost the same as the first: the same model, equal in size. "
    best = min(groups, key=lambda size: (median(times[size]), taken(groups[size][0], "parameters") or 0.0))
    clear = all(max(times[best]) < _least(times[size]) for size in groups if size != best)
    if not clear:  # their times overlap
        best = min(groups, key=lambda size: (taken(groups[size][0], "parameters") or math.inf, median(times[size])))
        others = {taken(group[0], "parameters") for size, group in groups.items() if size != best}
        if None in others or taken(groups[best][0], "parameters") in others:
            return "None of them is cheaper than the others beyond the noise of the times. "
    cheapest = groups[best][0]
    than = f", trial {first.number} {_takes(first)}" if cheapest.number != first.number else ""
    return f"Of these and the first, trial {cheapest.number} is the cheapest: {_takes(cheapest)}{than}. "


NOISE = 0.1
"""Share by which one machine's times of an epoch differ without a reason, where a size has a single trial."""


def _times(trials: list[FrozenTrial]) -> list[float]:
    return [seconds for trial in trials if (seconds := seconds_an_epoch(trial)) is not None]


def _least(times: list[float]) -> float:
    return min(times) * (1 - NOISE if len(times) == 1 else 1)


def _size(trial: FrozenTrial) -> tuple[object, ...]:
    """What trials of equal cost have in common: the model, its size and that of its images."""
    config = config_of(trial)
    return (repr(config.get("model")), taken(trial, "parameters"), taken(trial, "trainable"), config.get("image_side"))


def _takes(trial: FrozenTrial) -> str:
    size = taken(trial, "parameters")
    return f"{format_number(seconds_an_epoch(trial), 3)} s an epoch" + (f", {size:,.0f} parameters" if size else "")
