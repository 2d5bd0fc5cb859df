"""The section of what was confirmed, on made-up studies whose truth is known."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import optuna
import pytest
from conftest import add_seeds
from optuna.study import Study
from optuna.trial import TrialState, create_trial
from scipy.stats import ttest_ind

from search.analysis import confirmation
from search.analysis.view import StudyView
from search.reporting import data, page, table
from search.reporting.sections.confirmation import difference, verdict
from search.reporting.sections.confirmation import table as confirmed
from search.study import test_split


def searched(*values: float, baselines: dict[int, str] | None = None) -> Study:
    """A study whose trials ended so, some of them hand-tuned rows."""
    study = optuna.create_study(study_name="s", direction="maximize")
    study.set_user_attr("metric", "val_acc")
    study.set_user_attr("own_train", False)
    for number, value in enumerate(values):
        attrs: dict[str, Any] = {"config": {"lr": number / 10, "seed": 0}, "epoch": {"val_acc": value}}
        attrs |= {"baseline": baselines[number]} if baselines and number in baselines else {}
        study.add_trial(create_trial(value=value, user_attrs=attrs))
    return study


def render(study: Study) -> str:
    return page.render(StudyView(study))


def cells(study: Study) -> list[dict[str, str]]:
    """The table's rows, column to text."""
    names, _, *rows = (re.split(r"(?<!\\)\|", line)[1:-1] for line in confirmed(StudyView(study)).splitlines())
    return [dict(zip(map(str.strip, names), map(str.strip, row), strict=True)) for row in rows]


def test_rows_are_in_the_order_of_the_ranking() -> None:
    study = searched(0.8, 0.9, 0.7, baselines={2: "a|b"})
    add_seeds(study, "far away", [0.5, 0.5], [0.4, 0.6], "far away")
    for number in (2, 0, 1):
        add_seeds(study, number, [0.8, 0.9], [0.7, 0.8], "a|b" if number == 2 else None)
    labels = ["trial 1", "trial 0", "trial 2, as a|b", "hand-tuned: far away"]
    assert [row.label for row in StudyView(study).confirmed] == labels
    assert cells(study)[0] == {
        "Config": "trial 1",
        "SEEDS": "1, 2",
        "VALIDATION ACC": "0.8500 ± 0.0707 (0.8000 to 0.9000)",
        "TESTING ACC": "0.7500 ± 0.0707 (0.7000 to 0.8000)",
    }
    assert cells(study)[2]["Config"] == "trial 2, as a\\|b"


def test_the_seeds_of_a_study_made_anew_are_not_mixed_up() -> None:
    study = searched(0.8)
    add_seeds(study, 0, [0.8], [0.7])
    again = optuna.create_study(study_name="s2", storage=study._storage, direction="maximize")
    again.set_user_attr("confirms", "other")
    made = confirmation.of(study)
    assert made is not None
    made.add_trial(create_trial(value=0.1, user_attrs={"of": 0, "config": {"lr": 7, "seed": 2}}))
    made.add_trial(create_trial(value=0.1, user_attrs={"of": 9, "config": {"lr": 7, "seed": 2}}))
    (row,) = StudyView(study).confirmed
    assert row.val == [0.8]


def test_what_failed_and_what_is_to_come_is_said() -> None:
    study = searched(0.8)
    add_seeds(study, 0, [0.8], [0.7])
    made = confirmation.of(study)
    assert made is not None
    for seed, state in ((2, TrialState.FAIL), (3, TrialState.WAITING), (4, TrialState.RUNNING)):
        made.add_trial(create_trial(state=state, user_attrs={"of": 0, "config": {"lr": 0.0, "seed": seed}}))
    (row,) = cells(study)
    assert row["SEEDS"] == "1 (1 failed, 2 to come)"
    assert row["TESTING ACC"] == "0.7000"


@pytest.mark.parametrize(("gap", "exceeds"), [(0.05, True), (0.002, False)])
def test_the_verdict_on_the_leader_and_the_hand_tuned_row(gap: float, exceeds: bool) -> None:
    study = searched(0.9, 0.95, 0.85, baselines={2: "Mine"})
    hand = [0.80, 0.81, 0.79]
    own = [value + gap for value in hand]
    add_seeds(study, 1, own, own)
    add_seeds(study, 0, [0.99, 0.99, 0.99], [0.99, 0.99, 0.99])  # the second of the ranking is not asked
    add_seeds(study, 2, hand, hand, "Mine")
    text = verdict(StudyView(study))
    p = ttest_ind(own, hand, equal_var=False).pvalue
    start = f"On the test split trial 1 has {0.8 + gap:.4f}, trial 2, as Mine 0.8000: {gap:+.4f}, "
    assert text.startswith(start + ("they differ (Welch" if exceeds else "they are statistically tied (Welch"))
    assert f"p = {p:.2g}; 95% interval " in text
    assert text.endswith("and the test assumes that they spread normally.")


def test_equal_configs_seldom_differ() -> None:
    draws = np.random.default_rng(1).normal(0.9, 0.01, (200, 2, 4))
    told = 0
    for a, b in draws.tolist():
        differ = difference(confirmation.Row(0, None, [], a, a), confirmation.Row("x", "x", [], b, b))
        told += "they differ (Welch" in differ
    assert told <= 14  # 5%, and what chance adds


def test_little_says_little() -> None:
    study = searched(0.9, 0.8)
    assert StudyView(study).confirmed == []
    assert verdict(StudyView(study)) == "Trial 0 leads the ranking now, and is not confirmed."
    add_seeds(study, 0, [0.9], [0.9])
    assert verdict(StudyView(study)) == ""
    add_seeds(study, 1, [0.8], [0.8])
    text = verdict(StudyView(study))
    assert text.endswith("+0.1000. The difference is not tested: 1 and 1 new seeds are too few, or do not vary.")


def test_the_page_the_table_and_the_data_have_it() -> None:
    study = searched(0.9, 0.8)
    test_split.record(study, 0, 0.77, 450, 0.9)
    assert "\n\nThe study was evaluated once on the test split.\n" in render(study)
    assert "## Confirmed" not in render(study)
    add_seeds(study, 0, [0.9, 0.8], [0.85, 0.75])
    text = render(study)
    assert "\n\nThe study was evaluated 3 times on the test split.\n" in text
    assert "\n\n## Confirmed\n\nTrained again with seeds that the search did not use" in text
    assert StudyView(study).tests[0] == {"test_acc": 0.8, "seeds": 2}
    content = data.report(StudyView(study))
    assert content["looks_at_test"] == 3
    assert (content["rows"][0]["test_acc"], content["rows"][0]["test_seeds"]) == (0.8, 2)
    assert content["rows"][1]["test_acc"] is None
    assert content["confirmed"][0]["test_acc"] == [0.85, 0.75]
    sealed = searched(0.9)
    assert "The study was not evaluated on the test split." in render(sealed)


def test_a_study_without_the_trainer_says_nothing_of_the_test_split() -> None:
    study = optuna.create_study()
    study.add_trial(create_trial(value=1.0))
    assert "test split" not in render(study)


def test_the_page_of_the_seeds() -> None:
    study = searched(0.9)
    add_seeds(study, 0, [0.9, 0.8], [0.85, 0.75])
    made = confirmation.of(study)
    assert made is not None
    text = render(made)
    assert text.startswith("# s.confirm\n\nNew seeds for the leaders of the study s.\n")
    assert "0.8500 ± 0.0707" in text
    assert "| 1       | trial 0  | 2      | complete | 0.8000" in text
    optuna.delete_study(study_name="s", storage=study._storage)
    assert "0.8500 ± 0.0707" in render(made)
    empty = optuna.create_study(study_name="e.confirm", storage=study._storage)
    empty.set_user_attr("confirms", "e")
    assert "Nothing is confirmed yet." in render(empty)


def test_the_tables_test_accuracy_is_the_mean_of_the_seeds() -> None:
    study = searched(0.9)
    config: dict[str, Any] = {
        "model": "cnn", "dataset": "digits", "weights": None, "epochs": 1, "batch_size": 8, "lr": 0.1, "momentum": 0.9,
        "weight_decay": 0.0, "step_size": 1, "gamma": 0.5, "frozen": [], "precision": "fp32", "seed": 0,
    }  # fmt: skip
    study.add_trial(create_trial(value=0.95, user_attrs={"config": config, "epoch": {"val_acc": 0.95}}))
    add_seeds(study, 1, [0.9, 0.8], [0.85, 0.75])
    assert table.frame(StudyView(study))["TESTING ACC"].iloc[0] == "0.8000 (mean of 2 seeds)"
