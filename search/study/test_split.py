"""Looks at the test split of a study's trials, each of which counts: the study's attribute `tests`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from optuna.study import Study

from search.study.attributes import StudyRecord


def of(study: Study) -> dict[str, dict[str, Any]]:
    """By trial number, as text: the last look's `test_acc` (of `images`) and `val_acc`, and how many `looks` so far."""
    return StudyRecord(study).tests


def record(study: Study, trial: int, test_acc: float, images: int, val_acc: float | None) -> None:
    """Keep what a look at the test split found: the share `test_acc` of so many images, with the weights that have
    `val_acc` on the validation split."""
    before = of(study).get(str(trial))
    looked = {
        "test_acc": test_acc,
        "images": images,
        "val_acc": val_acc,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "looks": count_of(before) + 1 if before else 1,
    }
    StudyRecord(study).tests = of(study) | {str(trial): looked}


def count_of(looked: dict[str, Any]) -> int:
    """How often a trial was looked at; of a study that did not count yet, once."""
    return int(looked.get("looks", 1))
