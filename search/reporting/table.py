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
    from rich.console import Group
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
    the trials that no other beats in all, the first objective's best first.
    """
    trials = view.ranked[:rows]
    if view.several:
        along = sorted(trials, key=lambda trial: -view.sign * trial.values[0])
        front = [_front_row(view, trial) | columns.cells(trial, extra) for trial in along]
        return pd.DataFrame(front).fillna("")
    made_by = letters(view.trials) if len(versions(view.trials)) > 1 else {}
    found = [
        (
            value_of(trial) if feasible(trial) else None,
            _row(view, trial) | _code(trial, made_by) | columns.cells(trial, extra),
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


def _row(view: StudyView, trial: FrozenTrial) -> dict[str, str]:
    config, test = config_of(trial), view.tests.get(trial.number, {})
    epoch = epoch_of(trial) or {view.metric: value_of(trial)}
    images = images_of(trial), test.get("images")
    measured = columns.results(view.metric, epoch, test.get("test_acc"), is_train_config(config), *images)
    if trial.number in view.intervals and view.metric in measured:
        measured[view.metric] = columns.with_interval(value_of(trial) or 0.0, view.intervals[trial.number])
    if "seeds" in test and columns.TEST in measured:
        measured[columns.TEST] += f" (mean of {plural(test['seeds'], 'seed')})"
    return {"Trial": _label(trial)} | columns.settings(config, view.varied, view.metrics) | measured


def _code(trial: FrozenTrial, names: dict[str, str]) -> dict[str, str]:
    """The code of train() that made the trial, where trials differ in it."""
    return {"CODE": names.get(TrialRecord(trial).code or "", "?")} if names else {}


def _front_row(view: StudyView, trial: FrozenTrial) -> dict[str, str]:
    config, test, last = config_of(trial), view.tests.get(trial.number, {}), epoch_of(trial)
    values = {
        name: columns.accuracy(value, images_of(trial))
        if name == "val_acc"
        else columns.escape_cell(last.get(name, value))
        for name, value in zip(view.metrics, trial.values, strict=True)
    }
    tested = {columns.TEST: columns.accuracy(test.get("test_acc"), test.get("images"))} if test else {}
    return {"Trial": _label(trial)} | columns.settings(config, view.varied, view.metrics) | values | tested


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

    def terminal(self, width: int) -> Group:
        """For a terminal of `width` columns: no word is cut off or apart unless it is wider than that.

        Columns that do not fit beside each other follow in further tables, each with the trials' names.
        """
        from rich.console import Group

        texts = [[columns.unescaped(cell) for cell in column] for column in zip(self.names, *self.rows, strict=True)]
        needs = [_least(column) + _GAP for column in texts]
        named = self.names.index("Trial")
        room = width - 1 - min(needs[named], width // 2)
        tables: list[list[int]] = [[]]
        for index in (index for index in range(len(texts)) if index != named):
            if sum(needs[other] for other in (*tables[-1], index)) > room:
                tables.append([])
            tables[-1].append(index)
        return Group(*(_table([texts[i] for i in sorted([named, *table])], width) for table in tables if table))


_GAP = 2
"""Blanks between two columns in a terminal."""


_LINE = len("0.9755 (0.957 to 0.986)")
"""A cell that is no longer stays on one line, if the terminal is as wide as that."""


def _least(column: Sequence[str]) -> int:
    """How wide a column is at least: as its longest word, or as its longest cell if that is short."""
    return max(max(len(word) for word in [*cell.split(), ""]) if len(cell) > _LINE else len(cell) for cell in column)


def _table(texts: Sequence[Sequence[str]], width: int) -> Table:
    """Columns, each a title and its cells, in no more than `width`."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column, wide in zip(texts, _widths(texts, width - 1 - _GAP * len(texts)), strict=True):
        table.add_column(Text(column[0]), overflow="fold", width=wide)
    for row in zip(*(column[1:] for column in texts), strict=True):
        table.add_row(*map(Text, row))
    return table


def _widths(texts: Sequence[Sequence[str]], room: int) -> list[int]:
    """Columns' widths, `room` in all at most: each at least its least, if there is room for that.

    Rich's own widths may be more than the terminal's where each column has a least one.
    """
    widths = [_least(column) for column in texts]
    whole = [max(map(len, column)) for column in texts]
    while sum(widths) > max(room, len(widths)):
        widths[widths.index(max(widths))] -= 1
    while (left := room - sum(widths)) > 0 and widths != whole:
        for index in [index for index, wide in enumerate(widths) if wide < whole[index]][:left]:
            widths[index] += 1
    return widths


def ranking(
    view: StudyView, extra: Sequence[str] = (), rows: int | None = None, ties: bool = True, full: bool = False
) -> Ranking:
    """The ranked table in the order in which it is read: the result, how it compares, then what varies.

    What is the same in all rows is said in words, and a test split that is closed has no column. `full`: every column
    instead, in the order of the settings. `rows`: only so many, from the top.
    """
    whole = frame(view, extra, rows, ties)
    whole = whole if rows is None else whole.head(rows)
    first, last = _results(view), [columns.COLUMNS[name][0] for name in extra]
    words = columns.escape_cell(view.no_best) if whole.empty and rows is None and view.several else ""
    if not full and not whole.empty:
        if columns.TEST in whole and not whole[columns.TEST].any():
            whole = whole.drop(columns=columns.TEST)
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
    return ["Rank", "Trial", *own, "VALIDATION ACC", columns.TEST, TIE]


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
