"""Which settings matter, and the edges of ranges, on made-up studies whose truth is known."""

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
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from search.analysis.censored import scores
from search.analysis.importance import Effect, effects
from search.analysis.view import StudyView
from search.reporting.sections import importance


def searched(objective: Callable[[Trial], float], trials: int, seed: int = 0, tpe: bool = False) -> Study:
    sampler = TPESampler(seed=seed) if tpe else RandomSampler(seed=seed)
    study = optuna.create_study(study_name="made", direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=trials)
    return study


def said(study: Study) -> str:
    made = importance.section(StudyView(study))
    return made.text if made else ""


def edges_of(study: Study) -> list[str]:
    made = importance.at_the_edge(StudyView(study))
    return made.text.split("\n\n") if made else []


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
    text = said(study)
    assert text.startswith("What mattered: `lr` (importance ")
    assert "Not shown to matter: `width`, `kind`" in text or "Not shown to matter: `kind`, `width`" in text
    assert "of 45 completed trials" in text
    assert text.endswith("With fewer than 50 trials this is a hint.")


@pytest.mark.parametrize("tpe", [False, True])
def test_a_setting_that_does_nothing_is_not_said_to_matter(tpe: bool) -> None:
    """In 40 draws, also where TPE narrows all settings as the values rise: at most 3 are expected to fool the test."""
    fooled = found = 0
    for seed in range(40):
        study = searched(peaked(np.random.default_rng(seed)), 40, seed, tpe)
        named = said(study).partition("Not shown")[0]
        fooled += "`width`" in named or "`kind`" in named
        found += "`lr`" in named
    assert fooled <= 4
    assert found >= 24


def halved(study: Study, noise: np.random.Generator) -> Study:
    """The same trials, the worse half of each ten stopped after the second of ten epochs, of a curve with noise."""
    made = optuna.create_study(study_name="halved", direction="maximize")
    for start in range(0, len(study.trials), 10):
        block = study.trials[start : start + 10]
        middle = sorted(trial.value or 0 for trial in block)[len(block) // 2]
        for trial in block:
            value = trial.value or 0.0
            curve = {1: value - 0.3, 2: value - 0.2 + 0.005 * float(noise.standard_normal())}
            stopped = value < middle
            made.add_trial(
                create_trial(
                    state=TrialState.PRUNED if stopped else TrialState.COMPLETE,
                    value=None if stopped else value,
                    params=trial.params,
                    distributions=trial.distributions,
                    intermediate_values=curve if stopped else curve | {10: value},
                )
            )
    return made


def test_pruned_trials_say_what_the_completed_alone_do_not() -> None:
    fooled = found = alone = 0
    for seed in range(30):
        noise = np.random.default_rng(seed)
        study = halved(searched(peaked(noise), 48, seed), noise)
        done = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
        text = said(study)
        assert f"of {len(done)} completed and {48 - len(done)} pruned trials, by their curves; permutation" in text
        named = text.partition("Not shown")[0]
        fooled += "`width`" in named or "`kind`" in named
        found += "`lr`" in named
        alone += effects(study, done)["lr"].shown
    assert fooled <= 4  # of 100 such draws 4 fooled it
    assert found >= alone + 10


def test_what_has_no_importance_does_not_matter() -> None:
    assert not Effect(0.004, 0.001).shown
    assert Effect(0.005, 0.05).shown


def test_trials_are_compared_where_both_were_measured() -> None:
    def trial(value: float | None, **curve: float) -> FrozenTrial:
        state = TrialState.PRUNED if value is None else TrialState.COMPLETE
        return create_trial(state=state, value=value, intermediate_values={int(k[1:]): v for k, v in curve.items()})

    trials = [
        trial(0.9, e1=0.3, e2=0.5, e3=0.9),
        trial(0.8, e1=0.4, e2=0.6, e3=0.8),
        trial(None, e1=0.35),  # between the two
        trial(None, e1=0.1, e2=0.55),  # ahead of the first at epoch 2, behind all at epoch 1
    ]
    assert scores(trials, 1).tolist() == [1 - 1 - 1, -1 + 1 + 1, 1 - 1 + 1, 1 - 1 - 1]
    assert scores(trials, -1).tolist() == (-scores(trials, 1)).tolist()
    same = [trial(0.5), trial(0.5), trial(0.7)]
    assert scores(same, 1).tolist() == [-1, -1, 2]


def test_where_nothing_matters_nothing_is_named() -> None:
    noise = np.random.default_rng(0)

    def objective(trial: Trial) -> float:
        trial.suggest_int("depth", 1, 9)
        return float(noise.random())

    assert said(searched(objective, 60)) == (
        "No setting is shown to matter (of 60 completed trials; permutation test, Holm over 1 setting)."
    )


def test_of_three_trials_nothing_is_said() -> None:
    study = searched(peaked(np.random.default_rng(0)), 3)
    assert said(study) == ""
    assert edges_of(study) == []
    assert edges_of(made([], {})) == []


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
    (text,) = edges_of(made(rows, ranges))
    assert text == (
        "The best 4 of 12 trials have `lr` within 5% on its log scale of its upper end, 0.1 "
        "(0.1, 0.099, 0.09801, 0.09703): widen the range there, to 3 for example."
    )
    assert edges_of(made(rows[:-1], ranges)) == []
    rows[3] = ({"lr": 0.01, "drop": 0.01, "n": 3}, 0.87)
    assert edges_of(made(rows, ranges)) == []


def test_options_are_settings_too() -> None:
    ranges = {"kind": CategoricalDistribution(("a", "b"))}
    rows = [({"kind": "ab"[i % 2]}, 0.5 + 0.1 * (i % 2) + i / 1e4) for i in range(60)]
    assert said(made(rows, ranges)).startswith("What mattered: `kind` (importance 1.00, p = 0.001)")
