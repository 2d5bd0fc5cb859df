"""The gallery: the images that the best trials get wrong, from real training on the digits."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import optuna
import pytest
from conftest import Cli
from optuna.study import Study
from optuna.trial import create_trial
from PIL import Image

from search import predictions
from search.analysis.view import StudyView
from search.data import cache
from search.data.digits import Digits
from search.predictions import Predictions
from search.reporting import gallery, page
from search.trained.sheet import INK, WRONG, Cell, contact_sheet

CONFIG = {"dataset": "digits"}


def digits() -> cache.Images:
    (images,) = cache.load(Digits(Path()), None, ["val"])
    return images


def study_of(*named: np.ndarray, sure: float = 0.75) -> Study:
    """A study of trials that called the digits so, as a run leaves it."""
    images = digits()
    study = optuna.create_study(study_name="made", direction="maximize")
    study.set_user_attr("metric", "val_acc")
    for number, called in enumerate(named):
        right = called == images.labels
        value = float(right.mean())
        attrs = {"config": CONFIG, "epoch": {"val_acc": value}, "val_images": len(right)}
        study.add_trial(create_trial(value=value, user_attrs=attrs))
        said = Predictions(images.labels, called, np.linspace(sure, 1, len(right)), images.classes, images.key)
        predictions.write("made", number, predictions.pack(said))
    return study


def wrong_at(*rows: int) -> np.ndarray:
    named = digits().labels.copy()
    named[list(rows)] = (named[list(rows)] + 1) % 10
    return named


def write(study: Study) -> str:
    return gallery.write(StudyView(study), Path("reports/made_gallery"))[0]


def picture(name: str) -> np.ndarray:
    with Image.open(f"reports/made_gallery/{name}.png") as image:
        return np.asarray(image.convert("L"))


def test_mistakes_of_the_best_and_of_all_leaders() -> None:
    study = study_of(wrong_at(3, 5, 100), wrong_at(3, 100, 7, 8), wrong_at(*range(200)))
    line = write(study)
    assert "`made_gallery/README.md`" in line
    text = Path("reports/made_gallery/README.md").read_text()
    assert "All 3 mistakes of trial 0 among 449 validation images." in text
    assert "All 2 images that the trials 0, 1, the best and those statistically tied with it, all get wrong" in text
    assert [picture(name).shape[1] for name in ("mistakes", "shared")] == [3 * 140 + 12, 2 * 140 + 12]


def test_the_surest_mistakes_come_first_and_their_pixels_are_the_data_sets() -> None:
    images = digits()
    study = study_of(wrong_at(*range(0, 400, 10)))
    assert write(study)
    text = Path("reports/made_gallery/README.md").read_text()
    assert "The 24 surest of 40 mistakes" in text
    assert "every leader" not in text  # there is but one
    sheet = picture("mistakes")
    corner, side = 12, 128 // 8
    first = sheet[corner + side // 2 : corner + 128 : side, corner + side // 2 : corner + 128 : side]
    assert np.array_equal(first, images.pixels[390, ..., 0])  # the surest of them all, as `study_of` has it


def test_nothing_is_left_of_an_older_gallery() -> None:
    write(study_of(wrong_at(1, 2), wrong_at(1, 3)))
    assert Path("reports/made_gallery/shared.png").is_file()
    assert write(study_of(wrong_at())) == "No gallery of mistakes: trial 0 makes none on the validation images."
    assert not Path("reports/made_gallery").exists()


def test_without_answers_or_images_a_line_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    study = study_of(wrong_at(1))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    assert write(study).startswith("No gallery of mistakes: the decoded images are not in the cache")
    shutil.rmtree("runs/made/answers")
    assert write(study) == "No gallery of mistakes: the best trial's predictions are not in the run folder."
    assert not Path("reports").exists()
    assert write(optuna.create_study()) == ""


def test_git_sees_nothing_of_it() -> None:
    subprocess.run(["git", "init", "--quiet"], check=True)
    page.write(StudyView(study_of(wrong_at(1))), Path("results"))
    seen = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"], capture_output=True, text=True, check=True
    ).stdout
    assert "results/made.md" in seen
    assert "results/made_files/confusion.png" in seen
    assert "gallery" not in seen
    assert Path("results/made_gallery/mistakes.png").is_file()


def test_long_names_fit_under_their_image() -> None:
    lines = [("a very long name of a class" * 3, INK), ("猫 and a long one, too (99%)", WRONG)]
    sheet = np.asarray(contact_sheet([Cell(np.zeros((300, 300, 3), dtype=np.uint8), lines)]).convert("L"))
    assert sheet.shape[1] == 128 + 24
    assert (sheet[:, -10:] > 250).all()


def test_a_real_run_has_a_gallery(cli: Cli) -> None:
    space = "from search import SearchSpace, Float\nspace = SearchSpace(model='cnn', dataset='digits', epochs=1, "
    Path("own.py").write_text(space + "batch_size=64, lr=Float(0.02, 0.05), step_size=1, gamma=0.5)\ntrials = 2\n")
    assert cli("run", "own.py", "--engine", "inline").status == 0
    assert "`own_gallery/README.md`" in Path("reports/own.md").read_text()
    assert Path("reports/own_gallery/mistakes.png").is_file()
    assert sorted(file.name for file in Path("runs/own/answers").iterdir()) == ["0.npz", "1.npz"]
