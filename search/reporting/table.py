"""The ranked table of a study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from search.analysis import confirmation, ties
from search.analysis.ties import Ties
from search.config import TrainConfig, is_train_config
from search.reporting import columns
from search.study.study import config_of, epoch_of, metric_of, metrics_of, ranked, value_of

TIE = "AGAINST THE FIRST"


def frame(study: Study, tested: Ties | None = None, extra: Sequence[str] = (), rows: int | None = None) -> pd.DataFrame:
    """One row a COMPLETE trial or hand-tuned baseline, ranked by the metric; all cells are text.

    `extra`: names of `cost.COLUMNS` that stand behind the others. `rows`: of the trials only so many, the best.

    Baselines are ranked where the metric is the validation accuracy, which is what they came with. Of several
    objectives: the trials that no other beats in all, in no order.
    """
    trials = ranked(study)[:rows]
    if len(study.directions) > 1:
        return pd.DataFrame([_front_row(study, trial) | columns.cells(trial, extra) for trial in trials]).fillna("")
    tested = ties.find(study) if tested is None else tested
    metric = metric_of(study)
    varied = sorted({name.rpartition(".")[2] for trial in trials for name in trial.params})
    tests = confirmation.tested(study)
    found = [
        (value_of(trial), _row(trial, metric, varied, tests.get(str(trial.number), {})) | columns.cells(trial, extra))
        for trial in trials
    ] + _baselines(study, metric, trials)
    ordered = _rank(found, study.direction)
    if tested.tied and tested.first is not None:
        what = "the first" if ordered[0]["Trial"] == _label(tested.first) else f"trial {tested.first.number}"
        mark = {_label(trial): _mark(trial, tested, what) for trial in trials}
        ordered = [row | {TIE: mark.get(row["Trial"], "not tested")} for row in ordered]
    return pd.DataFrame(ordered).fillna("")


def _label(trial: FrozenTrial) -> str:
    if "baseline" not in trial.user_attrs:
        return str(trial.number)
    return f"{trial.number}, as {columns.escape_cell(trial.user_attrs['baseline'])}"


def _mark(trial: FrozenTrial, tested: Ties, what: str) -> str:
    if tested.first is not None and trial.number == tested.first.number:
        return ""
    if trial.number not in tested.tied:
        return "not tested"
    return f"tied with {what}" if tested.tied[trial.number] else "told apart"


def _row(trial: FrozenTrial, metric: str, varied: list[str], looked: dict[str, Any]) -> dict[str, str]:
    config = config_of(trial)
    epoch = epoch_of(trial) or {metric: value_of(trial)}
    test_acc, test_images = looked.get("test_acc"), looked.get("images")
    measured = columns.results(metric, epoch, test_acc, is_train_config(config), ties.images_of(trial), test_images)
    if "seeds" in looked and "TESTING ACC" in measured:
        measured["TESTING ACC"] += f" (mean of {looked['seeds']} seeds)"
    return {"Trial": _label(trial)} | columns.settings(config, varied) | measured


def _front_row(study: Study, trial: FrozenTrial) -> dict[str, str]:
    measured = zip(metrics_of(study), trial.values, strict=True)
    values = {name: columns.escape_cell(value) for name, value in measured}
    return {"Trial": _label(trial)} | columns.settings(config_of(trial)) | values


def _baselines(study: Study, metric: str, trials: list[FrozenTrial]) -> list[tuple[float | None, dict[str, str]]]:
    counts = {ties.images_of(trial) for trial in trials}
    images = counts.pop() if len(counts) == 1 else None  # of the data set, as far as the accuracy is a share of it
    rows: list[tuple[float | None, dict[str, str]]] = []
    for baseline in study.user_attrs.get("baselines", []):
        measured = {"last_step_loss": baseline["train_loss"], "val_acc": baseline["val_acc"]}
        cells = columns.settings(_whole(baseline["settings"])) | columns.results(
            metric, measured, baseline["test_acc"], True, images
        )
        rows.append((measured.get(metric), {"Trial": f"hand-tuned: {columns.escape_cell(baseline['name'])}", **cells}))
    return rows


def _whole(settings: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(TrainConfig.model_fields) | settings


def _rank(rows: list[tuple[float | None, dict[str, str]]], direction: StudyDirection) -> list[dict[str, str]]:
    sign = -1 if direction == StudyDirection.MAXIMIZE else 1
    rows = sorted(rows, key=lambda row: math.inf if row[0] is None else sign * row[0])
    first: dict[float | None, int] = {}
    for place, (value, _) in enumerate(rows, 1):
        first.setdefault(value, place)
    return [{"Rank": "" if value is None else str(first[value]), **cells} for value, cells in rows]


def markdown(study: Study, tested: Ties | None = None, extra: Sequence[str] = (), rows: int | None = None) -> str:
    """The ranked table as a GitHub-flavoured Markdown table; `rows`: only so many, from the top."""
    table = frame(study, tested, extra, rows)
    if table.empty:
        return "No trial completed."
    table = (table if rows is None else table.head(rows)).rename(
        columns=columns.escape_cell
    )  # a user's name may hold a bar
    return str(table.to_markdown(index=False, disable_numparse=True))


def listing(rows: list[dict[str, Any]]) -> str:
    """Rows, such as those of `data.status`, as a Markdown table."""
    return str(
        pd.DataFrame([{name: columns.escape_cell(value) for name, value in row.items()} for row in rows])
        .rename(columns=lambda name: str(name).replace("_", " "))
        .to_markdown(index=False, disable_numparse=True)
    )
