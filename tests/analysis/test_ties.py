"""Ties on made-up studies whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
import pytest
from conftest import add_predictions
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import create_trial

from search import predictions
from search.analysis.ties import Ties
from search.analysis.view import StudyView
from search.config import TrainConfig
from search.reporting import table
from search.reporting.sections import ties as section

IMAGES = 600
CONFIG = TrainConfig(model="cnn", dataset="digits", epochs=2, lr=0.01, step_size=5, gamma=0.1).model_dump(mode="json")


def study_of(
    answers: list[NDArray[np.bool_]],
    seconds: list[float] | None = None,
    bits: bool = True,
    sizes: list[int] | None = None,
) -> Study:
    """A study as the driver leaves it, of trials that named these images right."""
    study = optuna.create_study(study_name="made", direction="maximize")
    study.set_user_attr("metric", "val_acc")
    for number, right in enumerate(answers):
        value = float(right.mean())
        epoch = {"val_acc": value, "machine_seconds": 2 * seconds[number] if seconds else 2.0}
        attrs = {"config": CONFIG, "epoch": epoch, "val_images": len(right)}
        attrs |= {"cost": {"parameters": sizes[number]}} if sizes else {}
        study.add_trial(create_trial(value=value, user_attrs=attrs, intermediate_values={1: 0.1, 2: value}))
        if bits:
            add_predictions("made", number, right)
    return study


def draws(generator: np.random.Generator, shares: list[float], easy: float = 0.5) -> list[NDArray[np.bool_]]:
    """Answers of models of these accuracies; each agrees with the others on a part of the images, as models do."""
    same = generator.random(IMAGES) < easy
    return [np.where(same, True, generator.random(IMAGES) < (share - easy) / (1 - easy)) for share in shares]


def said_of(study: Study) -> str:
    made = section.section(StudyView(study))
    return made.text if made else ""


@pytest.mark.parametrize("worse", [0, 6])
def test_two_equal_configs_are_tied_in_93_of_100_draws(worse: int) -> None:
    generator = np.random.default_rng(0)
    found = [StudyView(study_of(draws(generator, [0.8, 0.8, *[0.6] * worse]))).ties for _ in range(100)]
    assert all(len(one.p) == 1 + worse for one in found)
    assert sum(bool(one.tied(1 if 1 in one.p else 0)) for one in found) >= 93


def test_each_of_eight_equal_configs_is_tied_in_93_of_100_draws() -> None:
    generator = np.random.default_rng(0)
    found = [StudyView(study_of(draws(generator, [0.8] * 8))).ties for _ in range(100)]
    assert sum(bool(one.tied(number)) for one in found for number in one.p) >= 93 * 7


def test_a_config_that_is_far_worse_differs() -> None:
    generator = np.random.default_rng(1)
    found = [StudyView(study_of(draws(generator, [0.9, 0.9, 0.75]))).ties for _ in range(30)]
    assert sum(bool(one.tied(2)) for one in found) == 0


def test_the_table_marks_ties_and_names_the_cheapest() -> None:
    right = np.arange(IMAGES) < 500
    one_off, poor = np.arange(IMAGES) < 499, np.arange(IMAGES) < 300
    study = study_of([right, one_off, poor], seconds=[3.0, 1.5, 0.5])
    frame = table.frame(StudyView(study))
    assert list(frame[table.TIE]) == ["", "statistically tied", "differs (p = 2.5e-60)"]
    assert frame["VALIDATION ACC"][0] == "0.8333 (0.801 to 0.861)"
    said = said_of(study)
    assert said.startswith(
        "1 of 2 trials tested is statistically tied with trial 0 (exact McNemar test on the same images"
    )
    assert "They cost the same as the first: the same model, equal in size." in said


def test_of_those_as_fast_the_smallest_is_the_cheapest() -> None:
    right = np.arange(IMAGES) < 500
    study = study_of([right] * 3, seconds=[1.501, 1.502, 1.509], sizes=[2000, 1000, 3000])
    said = said_of(study)
    assert "trial 1 is the cheapest: 1.5 s an epoch, 1,000 parameters, trial 0 1.5 s an epoch, 2,000 param" in said
    study = study_of([right] * 3, seconds=[1.501, 1.502, 1.2], sizes=[2000, 1000, 3000])
    assert "trial 2 is the cheapest: 1.2 s an epoch, 3,000 parameters," in said_of(study)


def test_times_of_one_size_say_how_far_times_differ_by_chance() -> None:
    right = np.arange(IMAGES) < 500
    study = study_of([right] * 4, seconds=[1.0, 1.6, 1.4, 1.7], sizes=[2000, 2000, 1000, 1000])
    assert "trial 2 is the cheapest: 1.4 s an epoch, 1,000 parameters, trial 0 1 s" in said_of(study)  # the smaller
    study = study_of([right] * 4, seconds=[1.0, 1.1, 1.4, 1.7], sizes=[2000, 2000, 1000, 1000])
    assert "trial 0 is the cheapest: 1 s an epoch, 2,000 parameters." in said_of(study)


def test_behind_a_baseline_the_best_trial_is_named() -> None:
    study = study_of([np.arange(IMAGES) < 500, np.arange(IMAGES) < 499])
    row = {"name": "Base", "settings": CONFIG, "train_loss": None, "val_acc": 540 / IMAGES, "test_acc": None}
    study.set_user_attr("baselines", [row, row | {"name": "Elsewhere", "val_acc": 0.4321}])
    frame = table.frame(StudyView(study))
    assert list(frame[table.TIE]) == ["not tested", "", "statistically tied with trial 0", "not tested"]
    assert list(frame["VALIDATION ACC"])[::3] == ["0.9000 (0.873 to 0.922)", "0.4321"]


def test_without_bits_nothing_is_tested_and_the_page_says_so() -> None:
    study = study_of([np.arange(IMAGES) < 500, np.arange(IMAGES) < 499], bits=False)
    assert StudyView(study).ties == Ties()
    assert table.TIE not in table.frame(StudyView(study))
    assert "(0.801 to 0.861)" in table.frame(StudyView(study))["VALIDATION ACC"][0]  # the storage knows how many images
    assert said_of(study).startswith("Ties are not tested")


def test_other_images_and_a_stale_file_are_not_tested() -> None:
    right = np.arange(IMAGES) < 500
    study = study_of([right, right, right[:-8]])
    add_predictions("made", 1, [False] * IMAGES)  # of a study that had the name before
    found = StudyView(study).ties
    assert found.first is not None
    assert found.first.number == 2  # 500 of 592
    assert found.p == {}
    predictions.place("made", 2).unlink()
    assert StudyView(study).ties == Ties()
    assert Path("runs/made/answers/0.npz").is_file()
