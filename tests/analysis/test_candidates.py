"""Which settings of the best trial an ablation puts back, and to which hand-tuned row."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.study import Study
from optuna.trial import create_trial

from search.analysis.candidates import candidates
from search.config import make_config
from search.errors import SearchError
from search.space.baselines import Baseline
from search.study.attributes import StudyRecord

ROW: dict[str, Any] = {
    "model": "cnn", "weights": None, "frozen": (), "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0,
    "epochs": 3, "step_size": 1, "gamma": 0.1,
}  # fmt: skip


def study(best: dict[str, Any], *rows: dict[str, Any], varied: tuple[str, ...] = ("lr",)) -> Study:
    """A study of one trial with the settings `best` beside ROW's."""
    made = optuna.create_study(study_name="s", direction="maximize")
    record = StudyRecord(made)
    record.metric, record.own_train = "val_acc", False
    record.baselines = [
        Baseline(f"row {number}", ROW | row, None, 0.5 + number / 10, None) for number, row in enumerate(rows)
    ]
    config = make_config({"dataset": "digits", **ROW, **best}).model_dump(mode="json")
    distribution = optuna.distributions.FloatDistribution(0, 1)
    params = dict.fromkeys(varied, 0.5)
    made.add_trial(
        create_trial(
            value=0.9,
            params=params,
            distributions=dict.fromkeys(varied, distribution),
            user_attrs={"config": config, "epoch": {"val_acc": 0.9}},
        )
    )
    return made


def undone(made: Study) -> list[dict[str, Any]]:
    return [found.put_back["settings"] for found in candidates(made, 1, ablate=True) if found.put_back]


def test_what_the_row_says_and_the_space_varies_is_put_back_one_at_a_time() -> None:
    best = {"lr": 0.3, "momentum": 0.5, "dropout": 0.2, "label_smoothing": 0.1}
    made = study(best, {}, varied=("lr", "dropout"))
    assert undone(made) == [{"lr": 0.1}, {"momentum": 0.9}, {"dropout": None}]  # label_smoothing: the row does not say
    configs = [found.config for found in candidates(made, 1, ablate=True) if found.put_back]
    assert [config["lr"] for config in configs] == [0.1, 0.3, 0.3]
    assert [config["momentum"] for config in configs] == [0.5, 0.9, 0.5]
    assert [found.label for found in candidates(made, 1, ablate=True)] == [
        *("trial 0", "hand-tuned: row 0"),
        *("trial 0 with lr = 0.1", "trial 0 with momentum = 0.9", "trial 0 with dropout = None"),
    ]


def test_the_nearest_row_is_of_the_same_model_with_the_fewest_changes() -> None:
    best = {"lr": 0.3}
    near, far, other = {"momentum": 0.9}, {"momentum": 0.1}, {"lr": 0.3, "model": "mlp"}
    assert undone(study(best, far, near, other)) == [{"lr": 0.1}]
    assert undone(study({"lr": 0.3, "gamma": 0.2}, {"lr": 0.3, "gamma": 0.5})) == [{"gamma": 0.5}]


def test_of_another_model_weights_and_layers_stay_away() -> None:
    row = {"model": "mlp", "weights": "x.pth", "frozen": ("0",), "momentum": 0.5}
    assert undone(study({}, row)) == [{"momentum": 0.5}]


def test_a_schedule_changes_with_what_belongs_to_it() -> None:
    best = {"schedule": "cosine", "step_size": None, "gamma": None, "lr": 0.3}
    made = study(best, {}, varied=("lr", "schedule"))
    assert undone(made) == [{"lr": 0.1}, {"schedule": "step", "step_size": 1, "gamma": 0.1}]


@pytest.mark.parametrize(
    ("best", "rows", "says"),
    [
        ({}, [], "has no hand-tuned rows"),
        ({}, [{}], "the best, trial 0, has "),
    ],
)
def test_what_cannot_be_put_back_is_said(best: dict[str, Any], rows: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(SearchError, match=says):
        candidates(study(best, *rows), 1, ablate=True)


def test_a_train_of_ones_own_has_no_rows() -> None:
    made = study({"lr": 0.3}, {})
    StudyRecord(made).own_train = True
    with pytest.raises(SearchError, match=r"has a train\(\) of its own, and hand-tuned rows have none"):
        candidates(made, 1, ablate=True)


def test_only_completed_trials_can_be_asked_for() -> None:
    made = study({}, {})
    made.add_trial(create_trial(state=optuna.trial.TrialState.PRUNED, user_attrs={"config": {}}))
    assert [found.of for found in candidates(made, 1, also=[0])] == [0, "row 0"]
    with pytest.raises(SearchError, match="trial=1: it is pruned; only completed trials can be confirmed"):
        candidates(made, 1, also=[1])
    with pytest.raises(SearchError, match="has no such trial, its last is 1"):
        candidates(made, 1, also=[-1])
