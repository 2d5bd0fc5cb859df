"""Settings that act together, on made-up studies whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from search.analysis.together import Together, together
from search.analysis.view import StudyView
from search.reporting.sections import importance

RANGES = {
    "lr": FloatDistribution(1e-3, 1, log=True),
    "momentum": FloatDistribution(0.0, 0.99),
    "step_size": IntDistribution(3, 9, step=3),
    "augment": CategoricalDistribution(["none", "flip"]),
}
Way = Literal["maximize", "minimize"]
Value = Callable[[float, float, float, bool], float]


def study(value: Value, count: int, seed: int = 0, direction: Way = "maximize") -> Study:
    """Random points; `value` of log10 lr, log10(1 - momentum), step_size and mirroring, with noise."""
    made = optuna.create_study(direction=direction)
    made.set_user_attr("metric", "val_acc")
    draw = np.random.default_rng(seed)
    for _ in range(count):
        params: dict[str, Any] = {
            "lr": float(10 ** draw.uniform(-3, 0)),
            "momentum": float(draw.uniform(0, 0.99)),
            "step_size": int(draw.choice([3, 6, 9])),
            "augment": str(draw.choice(["none", "flip"])),
        }
        found = value(
            math.log10(params["lr"]),
            math.log10(1 - params["momentum"]),
            params["step_size"],
            params["augment"] == "flip",
        )
        made.add_trial(
            create_trial(params=params, distributions=dict(RANGES), value=found + float(draw.normal(0, 0.1)))
        )
    return made


def effective(lr: float, rest: float, step: float, flip: bool) -> float:
    """Best where lr / (1 - momentum) is 0.1."""
    return -((lr - rest + 1) ** 2) + 0.1 * flip


def additive(lr: float, rest: float, step: float, flip: bool) -> float:
    return -((lr + 1) ** 2) - rest**2 + 0.05 * step + 0.5 * flip


def pairs(made: Study) -> list[Together]:
    return StudyView(made).together


def test_a_learning_rate_acts_with_the_momentum() -> None:
    (pair,) = pairs(study(effective, 64))
    assert (pair.names, pair.low) == (("lr", "momentum"), True)
    assert pair.p < 0.01
    (other,) = pairs(study(lambda *point: -effective(*point), 64, direction="minimize"))
    assert other == pair


def test_of_two_that_are_best_high_together_that_is_said() -> None:
    first, *_ = pairs(study(lambda lr, rest, step, flip: -((lr + 1.5 - (step - 6) / 3) ** 2), 64))
    assert (first.names, first.low) == (("lr", "step_size"), False)


def test_settings_that_only_add_up_seldom_act_together() -> None:
    """Each of three pairs at 5% after Holm: 2 of 40 studies, and what chance adds."""
    assert sum(bool(pairs(study(additive, 40, seed))) for seed in range(40)) <= 6


def test_few_trials_say_nothing() -> None:
    assert pairs(study(effective, 17)) == []  # 8 columns, and 10 more
    assert len(pairs(study(effective, 40))) == 1
    assert together(optuna.create_study(), []) == []


def test_pruned_trials_count_by_their_curves() -> None:
    made = study(effective, 64)
    cut = optuna.create_study(direction="maximize")
    for number, trial in enumerate(made.trials):
        assert trial.value is not None
        curve = {1: trial.value - 1, 2: trial.value}
        state = TrialState.PRUNED if number % 2 else TrialState.COMPLETE
        cut.add_trial(
            create_trial(
                state=state,
                value=None if number % 2 else trial.value,
                params=trial.params,
                distributions=dict(RANGES),
                intermediate_values=dict([*curve.items()][: 1 if number % 2 else 2]),
            )
        )
    assert [pair.names for pair in pairs(cut)] == [("lr", "momentum")]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_equal_values_are_nothing(direction: Way) -> None:
    made = optuna.create_study(direction=direction)
    for trial in study(effective, 40).trials:
        made.add_trial(create_trial(params=trial.params, distributions=dict(RANGES), value=0.5))
    assert pairs(made) == []


def test_the_report_says_it() -> None:
    section = importance.of_pairs(StudyView(study(effective, 64)))
    assert section is not None
    assert section.text.startswith(
        "`lr` and `momentum` act together (p = 0.0015): where one is high, the other does best low. (Freed"
    )
    assert section.comment
    assert section.data["together"][0]["settings"] == ["lr", "momentum"]
    assert importance.of_pairs(StudyView(study(additive, 40))) is None
