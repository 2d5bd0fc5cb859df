"""Comments on made-up studies whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import Trial, TrialState, create_trial

from search.report.comments import comments


def searched(objective: Callable[[Trial], float], trials: int, seed: int = 0, tpe: bool = False) -> Study:
    sampler = TPESampler(seed=seed) if tpe else RandomSampler(seed=seed)
    study = optuna.create_study(study_name="made", direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=trials)
    return study


def said(study: Study, word: str) -> str:
    """The one comment with `word`; empty if there is none."""
    found = [text for text in comments(study) if word in text]
    assert len(found) <= 1
    return found[0] if found else ""


def peaked(noise: np.random.Generator) -> Callable[[Trial], float]:
    """Accuracy peaks at lr = 0.01; `width` and `kind` do nothing."""

    def objective(trial: Trial) -> float:
        lr = trial.suggest_float("lr", 1e-4, 1, log=True)
        trial.suggest_float("width", 0, 1)
        trial.suggest_categorical("kind", ["a", "b", "c"])
        return 0.9 - 0.1 * abs(math.log10(lr) + 2) + 0.02 * float(noise.standard_normal())

    return objective


def test_what_matters_is_named_with_its_numbers_and_its_caveat() -> None:
    study = searched(peaked(np.random.default_rng(0)), 45)
    text = said(study, "mattered")
    assert text.startswith("What mattered: `lr` (importance ")
    assert "Not shown to matter: `width`, `kind`" in text or "Not shown to matter: `kind`, `width`" in text
    assert "of 45 completed trials" in text
    assert text.endswith("With fewer than 50 completed trials this is a hint.")


@pytest.mark.parametrize("tpe", [False, True])
def test_a_setting_that_does_nothing_is_not_said_to_matter(tpe: bool) -> None:
    """In 40 draws, also where TPE narrows all settings as the values rise: at most 3 are expected to fool the test."""
    fooled = found = 0
    for seed in range(40):
        study = searched(peaked(np.random.default_rng(seed)), 40, seed, tpe)
        named = said(study, "matter").partition("Not shown")[0]
        fooled += "`width`" in named or "`kind`" in named
        found += "`lr`" in named
    assert fooled <= 4
    assert found >= 24


def test_where_nothing_matters_nothing_is_named() -> None:
    noise = np.random.default_rng(0)

    def objective(trial: Trial) -> float:
        trial.suggest_int("depth", 1, 9)
        return float(noise.random())

    assert said(searched(objective, 60), "matter") == (
        "No setting is shown to matter (of 60 completed trials; permutation test, Holm over 1 settings)."
    )


def test_a_study_of_three_trials_gets_no_comment() -> None:
    assert comments(searched(peaked(np.random.default_rng(0)), 3)) == []
    assert comments(optuna.create_study()) == []


def made(rows: list[tuple[dict[str, Any], float]], ranges: dict[str, Any], direction: Any = "maximize") -> Study:
    study = optuna.create_study(study_name="made", direction=direction)
    study.add_trials([create_trial(value=value, params=params, distributions=ranges) for params, value in rows])
    return study


def test_the_edge_of_a_range() -> None:
    ranges = {
        "lr": FloatDistribution(1e-4, 0.1, log=True),
        "drop": FloatDistribution(0, 0.5),
        "n": IntDistribution(1, 3),
    }
    rows = [({"lr": 0.1 * 0.99**i, "drop": 0.01, "n": 3}, 0.9 - i / 100) for i in range(4)]
    rows += [({"lr": 1e-3, "drop": 0.3, "n": 2}, 0.5) for _ in range(8)]
    (text,) = comments(made(rows, ranges))
    assert text == (
        "The best 4 of 12 trials have `lr` within 5% on its log scale of its upper end, 0.1 "
        "(0.1, 0.099, 0.09801, 0.09703): widen the range there, if it can be."
    )
    assert comments(made(rows[:-1], ranges)) == []
    rows[3] = ({"lr": 0.01, "drop": 0.01, "n": 3}, 0.87)
    assert comments(made(rows, ranges)) == []


def test_freezing_by_medians() -> None:
    study = optuna.create_study(study_name="made", direction="maximize")
    for i in range(8):
        for frozen, base in (([], 0.8), (["features"], 0.6)):
            attrs = {"config": {"frozen": frozen, "weights": "DEFAULT"}}
            study.add_trial(create_trial(value=base + i / 100, user_attrs=attrs))
    study.add_trial(create_trial(value=0.1, user_attrs={"config": {"frozen": [], "weights": None}}))
    text = said(study, "frozen")
    assert "features 0.635 (8 trials), nothing 0.835 (8 trials)" in text
    assert "more than chance gives (permutation test, p = 0.001)" in text


def test_freezing_that_does_nothing() -> None:
    generator, wrong = np.random.default_rng(0), 0
    for _ in range(40):
        study = optuna.create_study(study_name="made", direction="maximize")
        for i in range(20):
            attrs = {"config": {"frozen": ["features"] * (i % 2), "weights": "DEFAULT"}}
            study.add_trial(create_trial(value=float(generator.random()), user_attrs=attrs))
        wrong += "more than chance gives" in said(study, "frozen")
    assert wrong <= 5


def against(right: int, hand: float, images: int | None = 1000) -> str:
    study = optuna.create_study(study_name="made", direction="maximize")
    study.set_user_attr("metric", "val_acc")
    study.set_user_attr("baselines", [{"name": "Low", "val_acc": 0.1}, {"name": "Base", "val_acc": hand}])
    attrs = {"epoch": {"val_acc": right / 1000}, "val_images": images}
    study.add_trial(create_trial(value=0.999, user_attrs={"baseline": "Base"}))  # no gain of the search's
    study.add_trial(create_trial(value=right / 1000, user_attrs=attrs))
    return said(study, "hand-tuned")


def test_the_gain_over_the_best_baseline() -> None:
    text = against(900, 0.85)
    assert text.startswith("Trial 1 has 0.9000, the best hand-tuned row (Base) 0.8500: +0.0500, 95% interval +0.02")
    assert text.endswith("(Newcombe, 1000 images).")
    assert "which holds 0" in against(855, 0.85)
    assert "-0.0500" in against(800, 0.85)
    assert "no interval" in against(900, 0.85, images=None)
    assert "no interval" in against(900, 0.85432)


@pytest.mark.parametrize(("direction", "ahead"), [("maximize", 1), ("minimize", 2)])
def test_what_pruning_saved_and_may_have_cost(direction: Any, ahead: int) -> None:
    study = optuna.create_study(study_name="made", direction=direction)
    curve = {1: 0.5, 2: 0.6, 3: 0.7, 4: 0.8}
    study.add_trial(create_trial(value=0.8, intermediate_values=curve))
    for stopped in ({1: 0.4}, {1: 0.3, 2: 0.55}, {1: 0.6}):
        study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values=stopped))
    assert said(study, "Pruning") == (
        "Pruning: 3 pruned trials ran 4 epochs; at the winner's 4 each they would have run 12. When they were "
        f"stopped, {ahead} of 3 were ahead of what the winner (trial 0) had after as many epochs: these are what "
        "pruning may have cost."
    )


def test_options_are_settings_too() -> None:
    ranges = {"kind": CategoricalDistribution(("a", "b"))}
    rows = [({"kind": "ab"[i % 2]}, 0.5 + 0.1 * (i % 2) + i / 1e4) for i in range(60)]
    assert said(made(rows, ranges), "mattered").startswith("What mattered: `kind` (importance 1.00, p = 0.001)")


def test_several_objectives_get_no_comment() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.add_trial(create_trial(values=[1.0, 2.0]))
    assert comments(study) == []
