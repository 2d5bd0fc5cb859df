"""Which trials cannot be told from the first, by what each named right of the same validation images."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial

from search import correct, predictions
from search.analysis.cost import seconds_an_epoch, taken
from search.analysis.statistics import LEVEL, holm, mcnemar
from search.format import format_number
from search.predictions import Answers
from search.study.study import config_of, epoch_of, metric_of, ranked


@dataclass(frozen=True)
class Ties:
    """The outcome of the tests: the best trial, and of each that was tested against it whether it is tied."""

    first: FrozenTrial | None = None
    tied: dict[int, bool] = field(default_factory=dict)


def images_of(trial: FrozenTrial) -> int | None:
    """How many validation images the trial was measured on, if it was recorded."""
    count = trial.user_attrs.get("val_images")
    return count if isinstance(count, int) and count > 0 else None


def right_of(trial: FrozenTrial) -> int | None:
    """How many of them it named right after its last epoch."""
    count, share = images_of(trial), epoch_of(trial).get("val_acc")
    return round(share * count) if count and isinstance(share, float) and 0 <= share <= 1 else None


def find(study: Study) -> Ties:
    """Test every COMPLETE trial against the best: exact McNemar, Holm over the rows.

    The first was chosen for its number, which Holm does not know: of 8 equal configs, some one was told apart from
    the best in 10 of 100 made-up studies, and each in 2.

    Only what was ranked by the validation accuracy, on the same images, and has its bits in the run folder.
    """
    trials = ranked(study)
    if len(study.directions) > 1 or metric_of(study) != "val_acc" or not trials:
        return Ties()
    first = trials[0]
    bits = bits_of(study, first)
    if bits is None:
        return Ties()
    same = [trial for trial in trials[1:] if alike(first, trial)]
    found = [(trial.number, rows) for trial in same if (rows := bits_of(study, trial)) is not None]
    if not found:
        return Ties(first)
    others = np.stack([rows for _, rows in found])
    p = holm(paired(bits, others))
    return Ties(first, {number: bool(value > 1 - LEVEL) for (number, _), value in zip(found, p, strict=True)})


def alike(a: FrozenTrial, b: FrozenTrial) -> bool:
    """Whether both were measured on the same images, as far as their number and the data set say so."""
    first, second = ((images_of(trial), config_of(trial).get("dataset")) for trial in (a, b))
    return first == second


def bits_of(study: Study, trial: FrozenTrial) -> NDArray[np.uint8] | None:
    """Which images the trial named right, as packed bits (ceil(N / 8),); None if that is not in the run folder."""
    count, right = images_of(trial), right_of(trial)
    return None if count is None or right is None else correct.read(study.study_name, trial.number, count, right)


def ones(bits: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How many bits are set, along the last axis: (..., B) -> (...)."""
    count: NDArray[np.int64] = np.bitwise_count(bits).sum(axis=-1, dtype=np.int64)
    return count


def answers_of(study: Study, trial: FrozenTrial) -> Answers | None:
    """What the trial called each validation image, if that is in the run folder."""
    count, right = images_of(trial), right_of(trial)
    return None if count is None or right is None else predictions.read(study.study_name, trial.number, count, right)


def paired(bits: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Exact McNemar p (R,) of each of `others` (R, B) against `bits` (B,), packed answers on the same images."""
    return mcnemar(ones(bits & ~others), ones(others & ~bits))


def sentence(study: Study, ties: Ties) -> str:
    """What stands under the table: how many are tied, the cheapest of them, and what the test does not know."""
    if ties.first is None or not ties.tied:
        if len(ranked(study)) < 2:
            return ""
        return "Ties are not tested: that needs each trial's right and wrong images, which are not here."
    first, count = ties.first, len(ties.tied)
    numbers = {number for number, tied in ties.tied.items() if tied}
    if not numbers:
        return f"All {count} trials tested are told apart from trial {first.number} ({_METHOD}). {_LIMIT}"
    level = [first, *(trial for trial in ranked(study) if trial.number in numbers)]
    text = f"{len(numbers)} of {count} trials tested cannot be told from trial {first.number} ({_METHOD})"
    timed = [(seconds, trial) for trial in level if (seconds := seconds_an_epoch(trial)) is not None]
    if len(timed) == len(level):
        cheapest = min(timed, key=lambda pair: _price(*pair))[1]
        text += f"; of these and the first, trial {cheapest.number} is the cheapest: {_takes(cheapest)}"
        text += f", trial {first.number} {_takes(first)}" if cheapest.number != first.number else ""
    return f"{text}. {_LIMIT}"


def _price(seconds: float, trial: FrozenTrial) -> tuple[float, float, int]:
    """What the cheapest has least of: time an epoch, to the two digits that mean something; then parameters."""
    return float(f"{seconds:.1e}"), taken(trial, "parameters") or 0.0, trial.number


def _takes(trial: FrozenTrial) -> str:
    size = taken(trial, "parameters")
    return f"{format_number(seconds_an_epoch(trial), 3)} s an epoch" + (f", {size:,.0f} parameters" if size else "")


_METHOD = "exact McNemar test on the same images, Holm over the rows, 5%"
_LIMIT = "The test knows how the images vary, not how the seeds do, nor that the first was picked for its number."
