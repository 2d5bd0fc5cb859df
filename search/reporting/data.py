"""Report and status as data for other programs: JSON and CSV under names that stay."""

from __future__ import annotations

from typing import Any

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from search.analysis import ties
from search.analysis.cost import gpu_hours, machine_seconds, seconds_an_epoch, taken
from search.analysis.statistics import wilson
from search.analysis.view import StudyView
from search.reporting.sections.registry import SECTIONS
from search.space.baselines import Baseline
from search.study.attributes import StudyRecord, TrialRecord, config_of, epoch_of, texts
from search.study.lease import driver_of
from search.study.storage import internals, rdb

FIGURES = ("peak_memory", "parameters", "trainable", "megabytes", "latency_ms")
"""Of `search.train.footprint`; None where a trial did not record it."""

FIRST = ("study", "metric", "directions", "trials", "machine_seconds", "saved_seconds", "gpu_hours", "saved_gpu_hours")
"""The order of the first keys of a report; `comments` come next, then what further sections add."""


def report(view: StudyView) -> dict[str, Any]:
    """The whole report; `rows` has the ranked trials, then the hand-tuned rows."""
    made = [part for section in SECTIONS if (part := section(view)) is not None]
    content = dict.fromkeys(FIRST) | {
        "study": view.name,
        "metric": view.metrics if view.several else view.metric,
        "directions": [direction.name.lower() for direction in view.study.directions],
        "comments": [text for part in made if part.comment for text in part.text.split("\n\n") if text],
    }
    for part in made:
        content |= part.data
    return content | {"rows": [*(_row(view, trial) for trial in view.ranked), *map(_hand_tuned, view.baselines)]}


def _row(view: StudyView, trial: FrozenTrial) -> dict[str, Any]:
    right, images, test = ties.right_of(trial), ties.images_of(trial), view.tests.get(trial.number, {})
    low, high = (None, None) if right is None or images is None else wilson(right, images)
    epoch = epoch_of(trial)
    return {
        "trial": trial.number,
        "baseline": TrialRecord(trial).baseline,
        "values": trial.values,
        **({"objectives": dict(zip(view.metrics, trial.values, strict=True))} if view.several else {}),
        "last_step_loss": epoch.get("last_step_loss"),
        "train_loss": epoch.get("last_step_loss"),  # a wrong name, which programs may read
        "val_acc": epoch.get("val_acc"),
        "val_acc_low": low,
        "val_acc_high": high,
        "val_images": images,
        "test_acc": test.get("test_acc"),
        "test_images": test.get("images"),
        "test_seeds": test.get("seeds"),
        "tied_with_first": view.ties.tied(trial.number),
        "seconds_an_epoch": seconds_an_epoch(trial),
        "machine_seconds": machine_seconds(trial),
        "gpu_hours": gpu_hours(trial),
        **{name: taken(trial, name) for name in FIGURES},
        "config": config_of(trial),
    }


def _hand_tuned(row: Baseline) -> dict[str, Any]:
    return {
        "trial": None,
        "baseline": row.name,
        "last_step_loss": row.train_loss,
        "train_loss": row.train_loss,
        "val_acc": row.val_acc,
        "test_acc": row.test_acc,
        "config": row.settings,
    }


def status(storage: RDBStorage, name: str | None = None) -> list[dict[str, Any]]:
    """One row a study of the storage, or of the one called `name`; without reading its trials one by one."""
    studies = sorted(storage.get_all_studies(), key=lambda study: study.study_name)
    return [_study(storage, study) for study in studies if name in (None, study.study_name)]


def _study(storage: RDBStorage, study: Any) -> dict[str, Any]:
    number, record = internals.study_id(study), StudyRecord(study)
    named = texts(study.system_attrs.get("study:metric_names"))
    metric = ", ".join(named) if len(named) > 1 else record.metric or [*named, "value"][0]
    by_state = rdb.states(storage, number)
    counts = {state.name.lower(): by_state.get(state, 0) for state in TrialState}
    driver = driver_of(record.driver)
    alone = record.confirms is None and len(study.directions) == 1  # no seed is better than another
    value, trial = rdb.leader(storage, number, study.directions[0]) if alone else (None, None)
    best_is = {"best": value, "best_trial": trial}
    return {"study": study.study_name, "metric": metric, **best_is, **counts, "driver": driver}
