"""The best of the search against the best hand-tuned row, and against the best of those that were trained here."""

from __future__ import annotations

from optuna.trial import FrozenTrial

from search.analysis.statistics import difference, paired_difference
from search.analysis.ties import bits_of, images_of, ones, right_of, sample_of
from search.analysis.view import StudyView
from search.reporting.columns import accuracy, escape_cell
from search.reporting.section import Section
from search.study.attributes import TrialRecord, value_of


def section(view: StudyView) -> Section | None:
    own = next((trial for trial in view.done if TrialRecord(trial).baseline is None), None)
    if not view.by_accuracy or own is None:
        return None
    here = next((trial for trial in view.done if TrialRecord(trial).baseline is not None), None)
    paired = _paired(view, own, here) if here else ""
    hand = view.best_baseline
    same = paired and here and hand and TrialRecord(here).baseline == hand["name"]
    row = "" if hand is None or same else _gain(own, escape_cell(hand["name"]), float(hand["val_acc"]))
    return Section("\n\n".join(filter(None, (row, paired))), comment=True)


def _paired(view: StudyView, best: FrozenTrial, here: FrozenTrial) -> str:
    """`best` against a hand-tuned row that was trained in this study, image by image; empty without predictions."""
    bits, images = bits_of(view.name, (best, here)), images_of(best)
    if len(bits) < 2 or images is None or sample_of(best) != sample_of(here):
        return ""
    a, b = bits[best.number], bits[here.number]
    only_a, only_b, both = (int(ones(bits)) for bits in (a & ~b, b & ~a, a & b))
    text = (
        f"On the same {images} images trial {best.number} is right on {only_a} where the hand-tuned row "
        f"{escape_cell(TrialRecord(here).baseline)}, trained here as trial {here.number}, is wrong, and wrong on "
        f"{only_b} where the row is right: {(only_a - only_b) / images:+.4f}"
    )
    return text + _interval(*paired_difference(both, only_a, only_b, images), "Newcombe, paired")


def _gain(best: FrozenTrial, name: str, old: float) -> str:
    value, images, right = value_of(best) or 0.0, images_of(best), right_of(best)
    text = f"Trial {best.number} has {accuracy(value)}, the best hand-tuned row ({name}) {accuracy(old)}"
    text += f": {value - old:+.4f}"
    if images is None or right is None or abs(old * images - round(old * images)) > 1e-3:
        return f"{text}. The difference has no interval: the number of images behind the row is not known."
    return text + _interval(*difference(right, images, round(old * images), images), f"Newcombe, {images} images")


def _interval(low: float, high: float, method: str) -> str:
    sure = "" if low > 0 or high < 0 else ", which holds 0: neither a gain nor a loss is shown"
    return f", 95% interval {low:+.4f} to {high:+.4f} ({method}){sure}."
