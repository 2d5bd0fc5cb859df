"""The hand-tuned rows: what they are, and what the best of the search gains over them."""

from __future__ import annotations

from search.analysis.gains import Gain, PairedGain, gains
from search.analysis.ties import images_of
from search.analysis.view import StudyView
from search.reporting.columns import accuracy, escape_cell
from search.reporting.section import Section
from search.study.attributes import TrialRecord, value_of


def section(view: StudyView) -> Section | None:
    over_row, over_trained = gains(view)
    said = [*([_gain(over_row)] if over_row else []), *([_paired(over_trained)] if over_trained else [])]
    return Section("\n\n".join(said), comment=True) if said else None


def rows(view: StudyView) -> Section | None:
    text = "Rows marked *hand-tuned* are not trials of this study. Their numbers are those of the baselines file."
    return Section(text) if view.baselines else None


def _paired(gain: PairedGain) -> str:
    text = (
        f"On the same {gain.images} images trial {gain.best.number} is right on {gain.only_best} where the hand-tuned "
        f"row {escape_cell(TrialRecord(gain.row).baseline)}, trained here as trial {gain.row.number}, is wrong, and "
        f"wrong on {gain.only_row} where the row is right: {(gain.only_best - gain.only_row) / gain.images:+.4f}"
    )
    return text + _interval(*gain.interval, "Newcombe, paired")


def _gain(gain: Gain) -> str:
    text = f"Trial {gain.best.number} has {accuracy(value_of(gain.best) or 0.0)}, the best hand-tuned row "
    text += f"({escape_cell(gain.row)}) {accuracy(gain.accuracy)}: {gain.gain:+.4f}"
    if gain.interval is None:
        return f"{text}. The difference has no interval: the number of images behind the row is not known."
    return text + _interval(*gain.interval, f"Newcombe, {images_of(gain.best)} images")


def _interval(low: float, high: float, method: str) -> str:
    sure = "" if low > 0 or high < 0 else ", which holds 0: neither a gain nor a loss is shown"
    return f", 95% interval {low:+.4f} to {high:+.4f} ({method}){sure}."
