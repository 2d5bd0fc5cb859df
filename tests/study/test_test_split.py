"""Every evaluation on the test split counts."""

from __future__ import annotations

import optuna

from search.study import test_split


def test_evaluations_are_counted_trial_by_trial() -> None:
    study = optuna.create_study()
    assert test_split.of(study) == {}
    test_split.record(study, 3, 0.9, 450, 0.95)
    test_split.record(study, 3, 0.8, 450, None)
    test_split.record(study, 4, 0.7, 450, 0.7)
    found = test_split.of(study)
    assert {number: (last["test_acc"], test_split.count_of(last)) for number, last in found.items()} == {
        "3": (0.8, 2),
        "4": (0.7, 1),
    }
    assert found["3"]["images"] == 450


def test_an_evaluation_of_an_older_version_was_one() -> None:
    study = optuna.create_study()
    study.set_user_attr("tests", {"1": {"test_acc": 0.5, "val_acc": 0.5, "at": "2026-11-20"}})
    assert test_split.count_of(test_split.of(study)["1"]) == 1
    test_split.record(study, 1, 0.5, 450, 0.5)
    assert test_split.count_of(test_split.of(study)["1"]) == 2
