"""What more trials would gain, on made-up studies."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from search.analysis.view import StudyView
from search.reporting.sections import prospect


def said(values: list[float], metric: str = "val_acc", images: int | None = 900, pruned: int = 0) -> str:
    """The comment on a study of these values."""
    study = optuna.create_study(direction="minimize" if metric == "loss" else "maximize")
    study.set_user_attr("metric", metric)
    attrs = {"val_images": images} if images else {}
    study.add_trials([create_trial(value=value, user_attrs=attrs) for value in values])
    study.add_trials([create_trial(state=TrialState.PRUNED)] * pruned)
    made = prospect.section(StudyView(study))
    return made.text if made else ""


def test_with_few_completed_trials_nothing_is_said() -> None:
    assert said([0.5] * 7) == ""


@pytest.mark.parametrize("metric", ["val_acc", "loss"])
def test_what_more_would_gain(metric: str) -> None:
    values = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85]
    text = said([1 - value for value in values] if metric == "loss" else values, metric)
    gain = f"0.06932 in {metric} (80% interval 0 to 0.15)"
    assert text == f"16 more trials like these gain {gain}."  # no accuracy is above 1, and no loss below 0


def test_where_it_is_hardly_worth_it_that_is_said() -> None:
    values = [0.8, 0.88, 0.89, 0.895, 0.899, 0.8995, 0.8998, *[0.9] * 4]
    end = "That is less than half the best's standard error (0.005): more of them are hardly worth it."
    assert said(values, pruned=20).endswith(end)
    assert "a tenth of the best above the median" in said([0.5] * 3 + [0.9] * 9, "score", None)


def test_an_accuracy_in_percent_gains_as_much_as_a_share() -> None:
    values = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85]
    assert "gain 6.932 in val_acc (80% interval 0 to 15)" in said([100 * value for value in values], images=None)
