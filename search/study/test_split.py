"""Evaluations of a study's trials on the test split, each of which counts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from optuna.study import Study

from search.study.attributes import StudyRecord


def of(study: Study) -> dict[str, dict[str, Any]]:
    """Trial number, as text, to its last evaluation.

    That is `test_acc`, a fraction of so many `images`; `val_acc` of the same weights; `at`, the time in UTC; and
    `looks`, how many evaluations the trial has had.
    """
    return StudyRecord(study).tests


def record(study: Study, trial: int, test_acc: float, images: int, val_acc: float | None) -> None:
    """Keep an evaluation: the fraction `test_acc` of so many images, by weights with `val_acc` on validation."""
    before = of(study).get(str(trial))
    evaluation = {
        "test_acc": test_acc,
        "images": images,
        "val_acc": val_acc,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "looks": count_of(before) + 1 if before else 1,
    }
    StudyRecord(study).tests = of(study) | {str(trial): evaluation}


def count_of(evaluation: dict[str, Any]) -> int:
    """How often the trial was evaluated; a study from before this was counted has one."""
    return int(evaluation.get("looks", 1))
