"""The accuracy-against-size picture of studies whose front is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Cli
from optuna.study import Study
from optuna.trial import create_trial
from PIL import Image

from search.analysis.view import StudyView
from search.reporting import page
from search.reporting.plots import pareto
from search.study.storage.open import connect


def study_of(*trials: tuple[float, float | None], direction: Any = "maximize", **options: Any) -> Study:
    """A study of trials with these values and numbers of parameters."""
    study = optuna.create_study(study_name="made", direction=direction, **options)
    for value, size in trials:
        attrs = {} if size is None else {"cost": {"parameters": size}}
        study.add_trial(create_trial(value=value, user_attrs=attrs))
    return study


@pytest.mark.parametrize(
    ("trials", "direction", "front"),
    [
        ([(0.5, 10), (0.9, 100), (0.8, 100), (0.7, 50), (0.6, 60)], "maximize", [1, 3, 0]),
        ([(0.5, 10), (0.9, 100), (0.8, 100), (0.7, 50), (0.6, 60)], "minimize", [0]),
        ([(0.9, 100), (0.9, 50), (0.9, 50)], "maximize", [1]),  # as good and smaller; as good and as small: the first
    ],
)
def test_the_front(trials: list[tuple[float, float | None]], direction: str, front: list[int]) -> None:
    found = pareto.front(pareto.points(StudyView(study_of(*trials, direction=direction))))
    assert [trial.number for _, _, trial in found] == front


@pytest.mark.parametrize(
    "study",
    [
        study_of(),
        study_of((0.5, 10), (0.6, 10)),
        study_of((0.5, 10), (0.6, None)),
        study_of((0.5, None), (0.6, None)),
    ],
    ids=["none", "one size", "one known", "none known"],
)
def test_no_picture_where_sizes_do_not_differ(study: Study) -> None:
    assert pareto.section(StudyView(study)) is None


def test_two_objectives_have_no_picture() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.add_trial(create_trial(values=[1.0, 2.0], user_attrs={"cost": {"parameters": 3}}))
    assert pareto.section(StudyView(study)) is None


def test_the_page_shows_it(tmp_path: Path) -> None:
    study = study_of((0.5, 10), (0.75, 2000), (0.6, 2000))
    text = page.write(StudyView(study), tmp_path / "reports").path.read_text()
    alt = "Accuracy against size: value against parameters; the best for their size are"
    assert f"\n![{alt} trial 0, 10: 0.5; trial 1, 2,000: 0.75.](made_files/accuracy_against_size.png)\n" in text
    with Image.open(tmp_path / "reports" / "made_files" / "accuracy_against_size.png") as picture:
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)  # not see-through, on a dark page


def test_the_command_draws_it(cli: Cli) -> None:
    storage = connect("sqlite:///studies.db")
    study_of((0.5, 10), (0.75, 2000), storage=storage)
    assert cli("report", "made").status == 0
    assert Path("reports/made_files/accuracy_against_size.png").is_file()
