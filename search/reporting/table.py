"""The ranked table of a study: in Markdown, and in a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from optuna.trial import FrozenTrial

from search.analysis.ties import Ties, images_of
from search.analysis.view import StudyView
from search.config import TrainConfig, is_train_config
from search.format import plural
from search.reporting import columns
from search.study.attributes import TrialRecord, config_of, epoch_of, feasible, value_of
from search.study.code import letters, versions

if TYPE_CHECKING:
    from rich.table import Table

TIE = columns.TIE
_DETAIL = "TRAINING LOSS AT LAST STEP"
"""A column that only the full table has."""
NOTHING = "No trial completed."


def frame(view: StudyView, extra: Sequence[str] = (), rows: int | None = None, ties: bool = True) -> pd.DataFrame:
    """One row a COMPLETE trial or hand-tuned baseline, ranked by the metric; all cells are text.

    `extra`: names of `columns.COLUMNS`, which come last. `rows`: only so many trials, the best. `ties`: with a column
    of how each differs from the first, where that is tested.

    Baselines are ranked where the metric is the validation accuracy, which their rows have. Of several objectives:
    the trials that no other beats in all, in no order.
    """
    trials = view.ranked[:rows]
    varied = sorted({name.rpartition(".")[2] for trial in trials for name in trial.params})
    if view.several:
        front = [_front_row(view, trial, varied) | columns.cells(trial, extra) for trial in trials]
        return pd.DataFrame(front).fillna("")
    made_by = letters(view.trials) if len(versions(view.trials)) > 1 else {}
    found = [
        (
            value_of(trial) if feasible(trial) else None,
            _row(view, trial, varied) | _code(trial, made_by) | columns.cells(trial, extra),
        )
        for trial in trials
    ] + _baselines(view, trials)
    ordered = _rank(found, view.sign)
    first = view.ties.first if ties and view.ties.p else None
    if first is not None:
        leads = ordered[0]["Trial"] == _label(first)
        mark = {_label(trial): _mark(trial, view.ties, "" if leads else f" trial {first.number}") for trial in trials}
        ordered = [row | {TIE: mark.get(row["Trial"], "not tested")} for row in ordered]
    return pd.DataFrame(ordered).fillna("")


def _label(trial: FrozenTrial) -> str:
    baseline = TrialRecord(trial).baseline
    named = f"{trial.number}" + (f", as {columns.escape_cell(baseline)}" if baseline is not None else "")
    return named + ("" if feasible(trial) else " (infeasible)")


def _mark(trial: FrozenTrial, ties: Ties, first: str) -> str:
    """The cell against the first; `first` names it where it does not lead the table."""
    if ties.first is not None and trial.number == ties.first.number:
        return ""
    if trial.number not in ties.p:
        return "not tested"
    if ties.tied(trial.number):
        return "statistically tied" + (f" with{first}" if first else "")
    return "differs" + (f" from{first}" if first else "") + f" (p = {ties.p[trial.number]:.2g})"


def _row(view: StudyView, trial: FrozenTrial, varied: list[str]) -> dict[str, str]:
    config, test = config_of(trial), view.tests.get(trial.number, {})
    epoch = epoch_of(trial) or {view.metric: value_of(trial)}
    images = images_of(trial), test.get("images")
    measured = columns.results(view.metric, epoch, test.get("test_acc"), is_train_config(config), *images)
    if trial.number in view.intervals and view.metric in measured:
        measured[view.metric] = columns.with_interval(value_of(trial) or 0.0, view.intervals[trial.number])
    if "seeds" in test and "TESTING ACC" in measured:
        measured["TESTING ACC"] += f" (mean of {plural(test['seeds'], 'seed')})"
    return {"Trial": _label(trial)} | columns.settings(config, varied, view.metrics) | measured


def _code(trial: FrozenTrial, names: dict[str, str]) -> dict[str, str]:
    """The code of train() that made the trial, where trials differ in it."""
    return {"CODE": names.get(TrialRecord(trial).code or "", "?")} if names else {}


def _front_row(view: StudyView, trial: FrozenTrial, varied: list[str]) -> dict[str, str]:
    config, test, last = config_of(trial), view.tests.get(trial.number, {}), epoch_of(trial)
    values = {
        name: columns.accuracy(value, images_of(trial))
        if name == "val_acc"
        else columns.escape_cell(last.get(name, value))
        for name, value in zip(view.metrics, trial.values, strict=True)
    }
    tested = {"TESTING ACC": columns.accuracy(test.get("test_acc"), test.get("images"))} if test else {}
    return {"Trial": _label(trial)} | columns.settings(config, varied, view.metrics) | values | tested


def _baselines(view: StudyView, trials: list[FrozenTrial]) -> list[tuple[float | None, dict[str, str]]]:
    counts = {images_of(trial) for trial in trials}
    images = counts.pop() if len(counts) == 1 else None  # of the data set, as far as the accuracy is a share of it
    rows: list[tuple[float | None, dict[str, str]]] = []
    for baseline in view.baselines:
        measured = {"last_step_loss": baseline.train_loss, "val_acc": baseline.val_acc}
        cells = columns.settings(_whole(baseline.settings)) | columns.results(
            view.metric, measured, baseline.test_acc, True, images
        )
        label = f"hand-tuned: {columns.escape_cell(baseline.name)}"
        rows.append((measured.get(view.metric), {"Trial": label, **cells}))
    return rows


def _whole(settings: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(TrainConfig.model_fields) | settings


def _rank(rows: list[tuple[float | None, dict[str, str]]], sign: int) -> list[dict[str, str]]:
    rows = sorted(rows, key=lambda row: math.inf if row[0] is None else -sign * row[0])
    first: dict[float | None, int] = {}
    for place, (value, _) in enumerate(rows, 1):
        first.setdefault(value, place)
    return [{"Rank": "" if value is None else str(first[value]), **cells} for value, cells in rows]


@dataclass(frozen=True)
class Ranking:
    """The table as people read it. Text and names are escaped for Markdown."""

    words: str
    """What is the same in all rows, as a sentence; empty if nothing is."""
    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def markdown(self) -> str:
        """Sentence and table, apart by an empty line; a sentence if there is no row."""
        if not self.rows:
            return self.words or NOTHING
        table = pd.DataFrame(self.rows, columns=list(self.names)).to_markdown(index=False, disable_numparse=True)
        return "\n\n".join(part for part in (self.words, str(table)) if part)

    def terminal(self, width: int) -> Table:
        """For a terminal of `width` columns: nothing is cut off, and what is too long goes on in the next line.

        Words stay whole where the width allows that.
        """
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        texts = [[columns.unescaped(cell) for cell in column] for column in zip(self.names, *self.rows, strict=True)]
        words = [max(len(word) for cell in column for word in [*cell.split(), ""]) for column in texts]
        whole = sum(words) + 2 * len(words) <= width
        for column, longest in zip(texts, words, strict=True):
            table.add_column(Text(column[0]), overflow="fold", min_width=longest if whole else None)
        for row in self.rows:
            table.add_row(*(Text(columns.unescaped(cell)) for cell in row))
        return table


def ranking(
    view: StudyView, extra: Sequence[str] = (), rows: int | None = None, ties: bool = True, full: bool = False
) -> Ranking:
    """The ranked table in the order in which it is read: the result, how it compares, then what varies.

    What is the same in all rows is said in words. `full`: every column instead, in the order of the settings. `rows`:
    only so many, from the top.
    """
    whole = frame(view, extra, rows, ties)
    whole = whole if rows is None else whole.head(rows)
    first, last = _results(view), [columns.COLUMNS[name][0] for name in extra]
    words = columns.escape_cell(view.no_best) if whole.empty and rows is None and view.several else ""
    if not full and not whole.empty:
        names = [str(name) for name in whole if name not in (*first, *last, _DETAIL)]
        same = [name for name in names if whole[name].nunique() == 1]
        words = columns.in_words({name: whole[name].iloc[0] for name in same}, len(whole))
        varied = [name for name in names if name not in same]
        whole = whole[[name for name in (*first, *varied, *last) if name in whole]]
    shown = tuple(columns.escape_cell(name) for name in whole)  # a user's name may hold a bar
    return Ranking(words, shown, tuple(tuple(row) for row in whole.itertuples(index=False, name=None)))


def _results(view: StudyView) -> list[str]:
    """The columns that come first, as far as the table has them."""
    own = [name for name in view.metrics if view.several or name not in ("val_acc", "last_step_loss")]
    return ["Rank", "Trial", *own, "VALIDATION ACC", "TESTING ACC", TIE]


def markdown(
    view: StudyView, extra: Sequence[str] = (), rows: int | None = None, ties: bool = True, full: bool = False
) -> str:
    """The ranking as GitHub-flavoured Markdown."""
    return ranking(view, extra, rows, ties, full).markdown


def listing(rows: list[dict[str, Any]]) -> str:
    """Rows, such as those of `data.status`, as a Markdown table."""
    return str(
        pd.DataFrame([{name: columns.escape_cell(value) for name, value in row.items()} for row in rows])
        .rename(columns=lambda name: str(name).replace("_", " "))
        .to_markdown(index=False, disable_numparse=True)
    )
