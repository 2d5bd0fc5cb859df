"""The report's page: what ran, what it cost, what failed and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.report import page


def trial(state: TrialState, seconds: float = 0.0, ran: int = 0, **attrs: Any) -> FrozenTrial:
    """A trial of 10 epochs that ran so many of them, in so many machine seconds."""
    curve = dict.fromkeys(range(1, ran + 1), 0.5)
    user_attrs = {"config": {"x": 1, "epochs": 10}, "epoch": {"score": 0.5, "machine_seconds": seconds}} | attrs
    value = 0.5 if state == TrialState.COMPLETE else None
    return create_trial(state=state, value=value, intermediate_values=curve, user_attrs=user_attrs)


def study_of(*trials: FrozenTrial) -> Study:
    study = optuna.create_study(study_name="made", direction="maximize")
    study.set_user_attr("metric", "score")
    study.add_trials(trials)
    return study


def test_time_spent_and_saved() -> None:
    trials = [
        trial(TrialState.COMPLETE, 100.0, 10),
        trial(TrialState.PRUNED, 30.0, 2),  # 15 s an epoch, 8 epochs not run
        trial(TrialState.PRUNED, 5.0, 5),  # 1 s an epoch, 5 not run
        trial(TrialState.FAIL, 7.0, 1),  # spent, and nothing saved
        trial(TrialState.WAITING),
        create_trial(state=TrialState.PRUNED),  # of plain Optuna
    ]
    assert page.cost(trials) == page.Cost(spent=142.0, saved=125.0)


def test_the_whole_page() -> None:
    study = study_of(
        trial(TrialState.COMPLETE, 100.0, 10, ran_on={"device": "cpu", "device_name": "AVX2", "precision": "fp32"}),
        trial(TrialState.PRUNED, 30.0, 2),
        trial(TrialState.FAIL, error="diverged: score is nan at epoch 3"),
        trial(TrialState.WAITING),
    )
    assert page.render(study) == (
        "# made\n\n"
        "Best score: **0.5000**, trial 0, on cpu (AVX2) in fp32, measured at its last epoch.\n\n"
        "| Rank   | Trial   | x   | epochs   | score   |\n"
        "|:-------|:--------|:----|:---------|:--------|\n"
        "| 1      | 0       | 1   | 10       | 0.5     |\n\n"
        "3 trials ran: 1 completed, 1 were pruned, 1 failed; 1 are under way or wait in the queue. "
        "Machine time: 2 min 10 s spent, 2 min 00 s saved by pruning.\n\n"
        "Failed trials:\n\n"
        "- trial 2: diverged: score is nan at epoch 3\n"
    )


@pytest.mark.parametrize("failed", [0, 1, 25])
def test_nothing_completed(failed: int) -> None:
    text = page.render(study_of(*[trial(TrialState.FAIL, error=f"reason {n}") for n in range(failed)]))
    assert "No trial completed, so there is no best score." in text
    assert f"{failed} trials ran: 0 completed, 0 were pruned, {failed} failed. Machine time: 0.0 s spent" in text
    assert text.count("\n- trial ") == min(failed, 20)
    assert ("- trial 0: reason 0" in text) == (failed > 0)
    assert ("- and 5 more" in text) == (failed == 25)


def test_a_plain_optuna_study_has_a_page() -> None:
    study = optuna.create_study(study_name="plain")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    study.add_trial(create_trial(state=TrialState.FAIL))
    text = page.render(study)
    assert f"Best value: **{study.best_value:.4f}**, trial {study.best_trial.number}, measured" in text
    assert "| x " in text
    assert "- trial 2: no reason recorded" in text


def test_baselines_are_explained() -> None:
    study = study_of(trial(TrialState.COMPLETE))
    assert "hand-tuned" not in page.render(study)
    settings = dict(model="cnn", frozen=[], lr=1.0, momentum=0.0, weight_decay=0.0, epochs=1, step_size=1, gamma=1.0)
    row = {"name": "Base", "settings": settings, "train_loss": None, "val_acc": 0.5, "test_acc": None}
    study.set_user_attr("baselines", [row])
    assert "*hand-tuned* are not trials of this study" in page.render(study)


def test_write_replaces_the_page_in_its_folder() -> None:
    study = study_of(trial(TrialState.COMPLETE))
    for _ in range(2):
        assert page.write(study, Path("new/reports")) == Path("new/reports/made.md")
    assert Path("new/reports/made.md").read_text() == page.render(study)
    assert [path.name for path in Path("new/reports").iterdir()] == ["made.md"]
