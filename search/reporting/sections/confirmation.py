"""What `search confirm` found: the leaders and the best hand-tuned row, trained again with new seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean, stdev

from search.analysis.confirmation import Row, row_of
from search.analysis.statistics import LEVEL, welch
from search.analysis.view import StudyView
from search.format import format_number, measured
from search.reporting.columns import accuracy, escape_cell
from search.reporting.section import Section
from search.reporting.table import listing
from search.study.attributes import TrialRecord, config_of

FEW = 5
"""With fewer seeds a side, the verdict has a caveat."""
NOTHING = "Nothing is confirmed yet."
_NEW_SEEDS = (
    "Trained again with seeds that the search did not use: mean ± standard deviation (least to greatest) over the "
    "seeds, of {what} after the last epoch."
)


def section(view: StudyView) -> Section:
    data = [
        {"of": row.of, "baseline": row.baseline, "seeds": row.seeds, "val_acc": row.val, "test_acc": row.test}
        | {"val_acc_mean": _mean(row.val), "test_acc_mean": _mean(row.test), "failed": row.failed}
        for row in view.confirmed
    ]
    return Section(_found(view) if data else "", "Confirmed" if data else "", data={"confirmed": data})


def of_seeds(view: StudyView) -> Section:
    """The same, for the page of the study that confirms another."""
    head = f"New seeds for the leaders of the study {escape_cell(view.confirms)}."
    return Section(f"{head}\n\n{_found(view) if view.confirmed else NOTHING}")


def seed_by_seed(view: StudyView) -> Section | None:
    """Every training of a study that confirms another."""
    lines = [
        {
            "Trial": trial.number,
            "Config": row_of(record).label,
            "seed": config_of(trial).get("seed"),
            "state": trial.state.name.lower(),
        }
        | (
            {view.metric: format_number(record.epoch.get(view.metric))}
            if _own(view)
            else {
                "VALIDATION ACC": accuracy(record.epoch.get("val_acc"), record.val_images),
                "TESTING ACC": accuracy(record.test.get("test_acc"), record.test.get("images")),
            }
        )
        for trial in view.trials
        for record in [TrialRecord(trial)]
    ]
    return Section(listing(lines), "Seed by seed") if lines else None


def table(view: StudyView) -> str:
    """What was confirmed, as a Markdown table."""
    cells = [
        {
            "Config": row.label,
            "SEEDS": ", ".join(map(str, sorted(row.seeds))) + missing(row),
        }
        | (
            {view.metric: spread(row.val)}
            if _own(view)
            else {"VALIDATION ACC": spread(row.val), "TESTING ACC": spread(row.test)}
        )
        for row in view.confirmed
    ]
    return listing(cells) if cells else NOTHING


def verdict(view: StudyView) -> str:
    """Whether the leader differs from the best hand-tuned row, and whether the leader is confirmed at all."""
    study = view.original if view.confirms is not None else view
    if study is None:
        return ""
    own = [row for row in view.confirmed if row.baseline is None]
    hand = [row for row in view.confirmed if row.baseline is not None]
    first = study.best
    text = ""
    if first and TrialRecord(first).baseline is None and first.number not in [row.of for row in own]:
        text = f"Trial {first.number} leads the ranking now, and is not confirmed. "
    if own and len(own) + len(hand) > 1:
        text += difference(own[0], hand[0] if hand else own[1], view.metric if _own(view) else None)
    return text.strip()


def difference(a: Row, b: Row, metric: str | None = None) -> str:
    """The difference of two configs on the test split, with Welch's test; empty if one of them has no seed.

    `metric`: of a train() of the space file, which reads no test split: the difference in this instead.
    """
    one, other = (a.test, b.test) if metric is None else (a.val, b.val)
    if not one or not other:
        return ""
    where = "On the test split" if metric is None else f"In {escape_cell(metric)}"
    text = f"{where} {a.label} has {measured(mean(one))}, {b.label} {measured(mean(other))}"
    text, counts = f"{text}: {_signed(mean(one) - mean(other))}", f"{len(one)} and {len(other)} new seeds"
    result = welch(one, other)
    if result is None:
        return f"{text}. The difference is not tested: {counts} are too few, or do not vary."
    p, low, high = result
    outcome = "they differ" if p <= 1 - LEVEL else "they are statistically tied"
    text += f", {outcome} (Welch's t-test, p = {p:.2g}; 95% interval {_signed(low)} to {_signed(high)}; {counts})."
    if min(len(one), len(other)) < FEW:
        text += " So few seeds show large differences only, and the test assumes that they spread normally."
    return text


def _found(view: StudyView) -> str:
    seeds = _NEW_SEEDS.format(what=escape_cell(view.metric) if _own(view) else "the accuracy")
    return "\n\n".join(filter(None, (seeds, table(view), verdict(view))))


def _own(view: StudyView) -> bool:
    """Whether a train() of the space file trained it, which has a metric of its own and no test split."""
    return view.record.own_train is True


def missing(row: Row) -> str:
    """How many of its seeds failed or are to come."""
    parts = [f"{row.failed} failed"] * bool(row.failed) + [f"{row.waiting} to come"] * bool(row.waiting)
    return f" ({', '.join(parts)})" if parts else ""


def spread(values: Sequence[float]) -> str:
    """Mean, standard deviation, least and greatest."""
    if len(values) < 2:
        return "".join(measured(value) for value in values)
    return f"{measured(mean(values))} ± {measured(stdev(values))} ({measured(min(values))} to {measured(max(values))})"


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else ''}{measured(value)}"


def _mean(values: Sequence[float]) -> float:
    return mean(values) if values else math.nan
