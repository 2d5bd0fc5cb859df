"""The ranked table of a study."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from optuna.study import Study, StudyDirection

from search.config import TrainConfig, is_train_config
from search.report import columns
from search.study import config_of, metric_of, ranked


def frame(study: Study) -> pd.DataFrame:
    """One row a COMPLETE trial or hand-tuned baseline, ranked by the metric; all cells are text.

    Baselines are ranked where the metric is the validation accuracy, which is what they came with.
    """
    metric, trials = metric_of(study), ranked(study)
    varied = sorted({name.rpartition(".")[2] for trial in trials for name in trial.params})
    tests = study.user_attrs.get("tests", {})
    rows: list[tuple[float | None, dict[str, str]]] = []
    for trial in trials:
        config = config_of(trial)
        epoch = trial.user_attrs.get("epoch") or {metric: trial.value}
        label = (
            f"{trial.number}, as {columns.number(trial.user_attrs['baseline'])}"
            if "baseline" in trial.user_attrs
            else str(trial.number)
        )
        trainer = is_train_config(config)
        test_acc = tests.get(str(trial.number), {}).get("test_acc")
        cells = columns.settings(config, varied) | columns.results(metric, epoch, test_acc, trainer)
        rows.append((trial.value, {"Trial": label, **cells}))
    for baseline in study.user_attrs.get("baselines", []):
        measured = {"last_step_loss": baseline["train_loss"], "val_acc": baseline["val_acc"]}
        cells = columns.settings(_whole(baseline["settings"])) | columns.results(
            metric, measured, baseline["test_acc"], True
        )
        rows.append((measured.get(metric), {"Trial": f"hand-tuned: {columns.number(baseline['name'])}", **cells}))
    return pd.DataFrame(_rank(rows, study.direction)).fillna("")


def _whole(settings: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(TrainConfig.model_fields) | settings


def _rank(rows: list[tuple[float | None, dict[str, str]]], direction: StudyDirection) -> list[dict[str, str]]:
    sign = -1 if direction == StudyDirection.MAXIMIZE else 1
    rows = sorted(rows, key=lambda row: math.inf if row[0] is None else sign * row[0])
    first: dict[float | None, int] = {}
    for place, (value, _) in enumerate(rows, 1):
        first.setdefault(value, place)
    return [{"Rank": "" if value is None else str(first[value]), **cells} for value, cells in rows]


def markdown(study: Study) -> str:
    """The ranked table as a GitHub-flavoured Markdown table."""
    table = frame(study)
    if table.empty:
        return "No trial completed."
    table = table.rename(columns=columns.number)  # the names are the user's, and may hold a bar
    return str(table.to_markdown(index=False, disable_numparse=True))
