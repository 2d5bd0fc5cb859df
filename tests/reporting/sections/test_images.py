"""Which images and weights the study is of."""

from __future__ import annotations

import optuna

from search.analysis.view import StudyView
from search.reporting.sections import images
from search.study.attributes import StudyRecord


def test_weights_of_the_same_content_are_one_line() -> None:
    study = optuna.create_study()
    StudyRecord(study).weights = {**{f"net at {side} px": "abc" for side in (64, 96, 128, 160)}, "other": "def"}
    made = images.section(StudyView(study))
    assert made is not None
    assert made.text.splitlines() == [
        "- weights of net at 64 px, net at 96 px, net at 128 px and 1 more: abc, by their content",
        "- weights of other: def, by their content",
    ]
