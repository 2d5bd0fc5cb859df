"""What pruning saved and cost, on made-up studies whose truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from search.analysis.statistics import wilson
from search.analysis.view import StudyView
from search.reporting.sections import pruning


@pytest.mark.parametrize(("direction", "ahead"), [("maximize", 1), ("minimize", 2)])
def test_what_pruning_saved_and_may_have_cost(direction: Any, ahead: int) -> None:
    study = optuna.create_study(study_name="made", direction=direction)
    curve = {1: 0.5, 2: 0.6, 3: 0.7, 4: 0.8}
    study.add_trial(create_trial(value=0.8, intermediate_values=curve))
    for stopped in ({1: 0.4}, {1: 0.3, 2: 0.55}, {1: 0.6}):
        study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values=stopped))
    made = pruning.section(StudyView(study))
    assert made is not None
    assert made.text == (
        "Pruning: 3 pruned trials ran 4 epochs; to their end they would have run 12. When they were stopped, "
        f"{ahead} of 3 were ahead of the winner (trial 0) at the same epoch. "
        f"{'This is' if ahead == 1 else 'These are'} what pruning may have cost."
    )


def test_each_pruned_trial_is_counted_by_its_own_epochs() -> None:
    study = optuna.create_study(study_name="made", direction="maximize")
    study.add_trial(create_trial(value=0.8, intermediate_values={1: 0.5, 2: 0.8}))
    for epochs in (30, 9):
        attrs = {"config": {"epochs": epochs}}
        curve = dict.fromkeys(range(1, 5), 0.4)
        study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values=curve, user_attrs=attrs))
    made = pruning.section(StudyView(study))
    assert made is not None
    assert made.text == "Pruning: 2 pruned trials ran 8 epochs; to their end they would have run 39."


def audited(direction: Any, kept: list[float], stopped: list[float]) -> str:
    """What is said where these trials were let go on, and those would have been stopped at epoch 2."""
    study = optuna.create_study(study_name="made", direction=direction)
    study.set_user_attr("metric", "score")
    study.add_trials([create_trial(value=value) for value in kept])
    curve = dict.fromkeys(range(1, 6), 0.5)
    study.add_trials(
        [create_trial(value=value, intermediate_values=curve, user_attrs={"audited": 2}) for value in stopped]
    )
    made = pruning.of_audit(StudyView(study))
    return made.text if made else ""


def test_how_often_the_pruner_was_wrong() -> None:
    assert audited("maximize", [0.5, 0.9, 0.8], [0.6, 0.95, 0.9, 0.1]) == (
        "Audit of the pruner: 4 trials that it would have stopped ran to their end, 12 epochs more. Of these, 2 "
        "reached the best trial that it let finish (score 0.9): it was wrong in 50% (95% interval 15% to 85%). The "
        "best of them, trial 4, would have been stopped at epoch 2 and has 0.95; the best that it let finish, trial 1, "
        "has 0.9."
    )
    text = audited("minimize", [i / 100 for i in range(20)], [0.015, 0.005, 0.5])
    assert "1 reached the best 2 of 20 that it let finish (score 0.01): it was wrong in 33%" in text
    assert "0 reached" in audited("maximize", [0.9], [0.6])


def test_without_an_audit_nothing_is_said() -> None:
    assert audited("maximize", [0.9], []) == ""
    assert audited("maximize", [], [0.9]) == ""  # nobody to compare with


def test_the_interval_holds_the_true_share() -> None:
    """Of trials whose true share above the leader is 20%, in nearly all of 200 audits of 30."""
    generator, held = np.random.default_rng(0), 0
    for _ in range(200):
        values = generator.random(30)
        wrong = int((values >= 0.8).sum())
        text = audited("maximize", [0.8], list(values))
        low, high = wilson(wrong, 30)
        assert f"{wrong} reached" in text
        held += low <= 0.2 <= high
    assert held >= 184
