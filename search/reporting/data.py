"""Report and status as data for other programs: JSON and CSV under names that stay."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.storages import RDBStorage
from optuna.storages._rdb.models import TrialModel
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import func, select

from search.analysis import confirmation, ties
from search.analysis.cost import cost, gpu_hours, machine_seconds, seconds_an_epoch, taken
from search.analysis.statistics import wilson
from search.analysis.ties import Ties
from search.reporting.sections.gains import comments
from search.study.lease import driver_of
from search.study.study import config_of, epoch_of, metric_of, metrics_of, ranked

FIGURES = ("peak_memory", "parameters", "trainable", "megabytes", "latency_ms")
"""Of `search.train.footprint`; None where a trial did not record it."""


def report(study: Study) -> dict[str, Any]:
    """The whole report; `rows` has the ranked trials, then the hand-tuned rows."""
    trials, tested = study.get_trials(deepcopy=False), ties.find(study)
    tests = confirmation.tested(study)
    spent = cost(trials)
    return {
        "study": study.study_name,
        "metric": metrics_of(study) if len(study.directions) > 1 else metric_of(study),
        "directions": [direction.name.lower() for direction in study.directions],
        "trials": {state.name.lower(): sum(trial.state == state for trial in trials) for state in TrialState},
        "machine_seconds": spent.spent,
        "saved_seconds": spent.saved,
        "gpu_hours": spent.gpu_hours,
        "saved_gpu_hours": spent.gpu_hours_saved,
        "comments": comments(study),
        "looks_at_test": confirmation.count_looks(study),
        "confirmed": confirmation.as_data(study),
        "rows": [_row(trial, tested, tests.get(str(trial.number), {})) for trial in ranked(study)]
        + [_hand_tuned(row) for row in study.user_attrs.get("baselines", [])],
    }


def _row(trial: FrozenTrial, tested: Ties, looked: Mapping[str, Any]) -> dict[str, Any]:
    right, images = ties.right_of(trial), ties.images_of(trial)
    low, high = (None, None) if right is None or images is None else wilson(right, images)
    epoch = epoch_of(trial)
    return {
        "trial": trial.number,
        "baseline": trial.user_attrs.get("baseline"),
        "values": trial.values,
        "train_loss": epoch.get("last_step_loss"),
        "val_acc": epoch.get("val_acc"),
        "val_acc_low": low,
        "val_acc_high": high,
        "val_images": images,
        "test_acc": looked.get("test_acc"),
        "test_images": looked.get("images"),
        "test_seeds": looked.get("seeds"),
        "tied_with_first": tested.tied.get(trial.number),
        "seconds_an_epoch": seconds_an_epoch(trial),
        "machine_seconds": machine_seconds(trial),
        "gpu_hours": gpu_hours(trial),
        **{name: taken(trial, name) for name in FIGURES},
        "config": config_of(trial),
    }


def _hand_tuned(row: Mapping[str, Any]) -> dict[str, Any]:
    measured = {name: row[name] for name in ("train_loss", "val_acc", "test_acc")}
    return {"trial": None, "baseline": row["name"], **measured, "config": row["settings"]}


def status(storage: RDBStorage, name: str | None = None) -> list[dict[str, Any]]:
    """One row a study of the storage, or of the one called `name`; without reading its trials one by one."""
    studies = sorted(storage.get_all_studies(), key=lambda study: study.study_name)
    return [_study(storage, study) for study in studies if name in (None, study.study_name)]


def _study(storage: RDBStorage, study: Any) -> dict[str, Any]:
    number = study._study_id
    try:
        best = storage.get_best_trial(number)
    except (ValueError, RuntimeError):  # nothing completed; several objectives
        best = None
    metric = study.user_attrs.get("metric") or study.system_attrs.get("study:metric_names", ["value"])[0]
    with storage.engine.connect() as connection:  # Optuna would read every trial to count it
        found = connection.execute(
            select(TrialModel.state, func.count()).where(TrialModel.study_id == number).group_by(TrialModel.state)
        )
        by_state: dict[TrialState, int] = {row[0]: row[1] for row in found}
    counts = {state.name.lower(): by_state.get(state, 0) for state in TrialState}
    driver = driver_of(study.user_attrs.get("driver"))
    if study.user_attrs.get("confirms") is not None:
        best = None  # no seed is better than another
    best_is = {"best": best.value if best else None, "best_trial": best.number if best else None}
    return {"study": study.study_name, "metric": metric, **best_is, **counts, "driver": driver}


def to_json(content: Any) -> str:
    """JSON, in which what is no finite number is null."""
    return json.dumps(_finite(content), indent=2, ensure_ascii=False)


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(name): _finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """CSV with one line a row; what is nested gets a column a part, such as config.lr."""
    flat = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            cells |= {f"{name}.{part}": inner for part, inner in _flat(value).items()}
        elif isinstance(value, (list, tuple)):
            cells[name] = " ".join(map(str, value))
        else:
            cells[name] = value
    return cells
