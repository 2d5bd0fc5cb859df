"""How many trials are statistically tied with the first, and which of them is the cheapest."""

from __future__ import annotations

from optuna.trial import FrozenTrial

from search.analysis.cost import seconds_an_epoch, taken
from search.analysis.ties import sample_of
from search.analysis.view import StudyView
from search.format import format_number
from search.reporting.section import Section

_METHOD = "exact McNemar test on the same images, Holm over the rows, 5%"
_LIMIT = (
    "The test accounts for the choice of images. It does not account for the seeds, nor for the choice of the first "
    "as the best."
)


def section(view: StudyView) -> Section | None:
    first, found = view.ties.first, view.ties
    if first is None or not found.p:
        text = "Ties are not tested: that needs the trials' predictions, which are not in the run folder."
        return Section(text) if len(view.ranked) > 1 else None
    tied = [trial for trial in view.ranked if found.tied(trial.number)]
    limit = _LIMIT + _of_other_images(view, first)
    if not tied:
        return Section(f"All {len(found.p)} trials tested differ from trial {first.number} ({_METHOD}). {limit}")
    is_ = "is" if len(tied) == 1 else "are"
    text = f"{len(tied)} of {len(found.p)} trials tested {is_} statistically tied with trial {first.number} ({_METHOD})"
    return Section(f"{text}. {_cheapest(first, tied)}{limit}")


def _of_other_images(view: StudyView, first: FrozenTrial) -> str:
    others = [trial.number for trial in view.ranked if sample_of(trial) != sample_of(first)]
    if not others:
        return ""
    which = f"Trial {others[0]} is" if len(others) == 1 else f"{len(others)} trials are"
    return f" {which} not tested: of other images than trial {first.number}, or of images that are not known."


def _cheapest(first: FrozenTrial, tied: list[FrozenTrial]) -> str:
    timed = [(seconds, trial) for trial in [first, *tied] if (seconds := seconds_an_epoch(trial)) is not None]
    if len(timed) <= len(tied):
        return ""
    cheapest = min(timed, key=lambda pair: _price(*pair))[1]
    than = f", trial {first.number} {_takes(first)}" if cheapest.number != first.number else ""
    return f"Of these and the first, trial {cheapest.number} is the cheapest: {_takes(cheapest)}{than}. "


def _price(seconds: float, trial: FrozenTrial) -> tuple[float, float, int]:
    """What the cheapest has least of: time an epoch, to the two digits that mean something; then parameters."""
    return float(f"{seconds:.1e}"), taken(trial, "parameters") or 0.0, trial.number


def _takes(trial: FrozenTrial) -> str:
    size = taken(trial, "parameters")
    return f"{format_number(seconds_an_epoch(trial), 3)} s an epoch" + (f", {size:,.0f} parameters" if size else "")
