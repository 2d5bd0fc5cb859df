"""The pictures of a report: drawn for every study, shown by the page, and left out where there is nothing to show."""

from __future__ import annotations

import math
import re
import shutil
import warnings
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import optuna
import pytest
from conftest import REPO
from markdown_it import MarkdownIt
from markdown_it.token import Token
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial
from PIL import Image

from search import predictions
from search.analysis.view import StudyView
from search.predictions import Predictions
from search.reporting import page

RANGES: dict[str, Any] = {
    "lr": FloatDistribution(1e-4, 1, log=True),
    "step": IntDistribution(5, 25, step=5),
    "start": CategoricalDistribution(("scratch", "$a_b^2$ | *new*", "猫")),
}


def trial(number: int, state: TrialState, ran: int = 10, **attrs: Any) -> FrozenTrial:
    """A trial of 10 epochs whose value depends on lr alone, and comes with its machine time."""
    noise = np.random.default_rng(number)
    lr = float(10 ** noise.uniform(-4, 0))
    params = {"lr": lr, "step": int(noise.integers(1, 6)) * 5, "start": str(noise.choice(RANGES["start"].choices))}
    top = 0.9 - 0.1 * (math.log10(lr) + 2) ** 2 + 0.01 * noise.normal()
    curve = {epoch: top * (1 - math.exp(-epoch / 3)) for epoch in range(1, ran + 1)}
    epoch = {"val_acc": curve[ran], "machine_seconds": 3.0 * ran}
    value = curve[ran] if state == TrialState.COMPLETE else None
    made = create_trial(
        state=state, value=value, params=params, distributions=RANGES, intermediate_values=curve,
        user_attrs={"config": {"x": 1, "epochs": 10}, "epoch": epoch} | attrs,
    )  # fmt: skip
    made.datetime_start = datetime(2026, 1, 1) + timedelta(minutes=number)
    made.datetime_complete = made.datetime_start + timedelta(seconds=3 * ran)
    return made


def study_of(*trials: FrozenTrial, name: str = "made", **options: Any) -> Study:
    study = optuna.create_study(study_name=name, **({"direction": "maximize"} | options))
    study.set_user_attr("metric", "val_acc")
    study.add_trials(trials)
    return study


def write(study: Study, folder: Path) -> Path:
    return page.write(StudyView(study), folder).path


def whole() -> Study:
    """Every third trial completes; of the best there is what it called its images."""
    states = [TrialState.COMPLETE if n % 3 == 0 else TrialState.PRUNED for n in range(90)]
    study = study_of(*[trial(n, state, 10 if state == TrialState.COMPLETE else 2) for n, state in enumerate(states)])
    best = study.best_trial
    right = round(best.user_attrs["epoch"]["val_acc"] * 1000)
    study = study_of(
        *[
            trial(n, t.state, len(t.intermediate_values), val_images=1000, epoch={"val_acc": right / 1000})
            if n == best.number
            else t
            for n, t in enumerate(study.trials)
        ]
    )
    labels = np.arange(1000) % 30
    named = np.where(np.arange(1000) < right, labels, (labels + 1) % 30)
    names = tuple(f"class_{i}_$x$" for i in range(30))
    predictions.write(
        "made", best.number, predictions.pack(Predictions(labels, named, np.full(1000, 0.5), names, "gone/val"))
    )
    return study


def links(text: str) -> list[str]:
    """The relative targets of all links and images, as GitHub's dialect reads the page."""

    def inside(tokens: list[Token]) -> list[Token]:
        return [token for outer in tokens for token in (outer, *inside(outer.children or []))]

    found = [str(token.attrGet("href") or token.attrGet("src") or "") for token in inside(parse(text))]
    return [unquote(link.partition("#")[0]) for link in found if link and not re.match(r"\w+:", link)]


def parse(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text)


ALL = ["confusion", "curves", "history", "importances", "parallel", "slices"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the whole study, with its pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("whole"))  # where the predictions lie
        return write(whole(), Path("reports").absolute())


def test_the_page_renders_and_every_link_leads_somewhere(written: Path) -> None:
    path, text = written, written.read_text(encoding="utf-8")
    shown = [path.parent / link for link in links(text)]
    assert sorted(picture.stem for picture in shown) == ALL
    assert all(picture.is_file() for picture in shown)
    rendered = MarkdownIt("commonmark").enable("table").render(text)
    assert rendered.count("<table>") == 2  # the trials, and the classes
    assert rendered.count("<img ") == len(ALL) == len(re.findall(r'<img src="[^"]+" alt="[^"]{30,}"', rendered))
    assert not re.search(r"!\[|\]\(|\*\*|^#|\|", re.sub(r"<code>.*?</code>|<[^>]+>", "", rendered), re.MULTILINE)


def test_the_pictures_hold_something_on_a_ground_of_their_own(written: Path) -> None:
    for name in ALL:
        file = written.parent / f"made_files/{name}.png"
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGBA"))
        assert pixels.shape[0] > 150, name
        assert 400 < pixels.shape[1] < 1400, name
        assert (pixels[..., 3] == 255).all(), name  # opaque: as readable on a dark page
        assert pixels[0, 0].tolist() == [255] * 4, name
        assert 0.005 < (pixels[..., :3] < 200).any(-1).mean() < 0.5, name
        assert file.stat().st_size < 100_000, name


def test_what_is_not_shown_any_more_is_removed(written: Path) -> None:
    shutil.copytree(written.parent, "reports")
    assert Path("reports/made_files/confusion.png").is_file()
    Path("reports/made_files/mine.png").write_bytes(b"")
    write(study_of(trial(0, TrialState.COMPLETE)), Path("reports"))
    assert sorted(file.name for file in Path("reports/made_files").iterdir()) == ["curves.png", "mine.png"]


def test_a_name_with_spaces_and_brackets_is_linked() -> None:
    path = write(study_of(trial(0, TrialState.COMPLETE), name="a +b é"), Path("reports"))
    assert [path.parent / link for link in links(path.read_text())] == [Path("reports/a +b é_files/curves.png")]
    assert Path("reports/a +b é_files/curves.png").is_file()


COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
X: dict[str, Any] = {"x": FloatDistribution(0, 1)}


def plain() -> Study:
    study = optuna.create_study(study_name="plain", sampler=RandomSampler(seed=0))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1) + trial.suggest_int("n", 1, 3), n_trials=4)
    return study


def wild() -> Study:
    """Values of every size, settings that come, go and change their kind."""
    study = optuna.create_study(study_name="wild", sampler=optuna.samplers.RandomSampler(seed=0))

    def objective(trial: optuna.Trial) -> float:
        trial.report(math.nan if trial.number % 2 else 10.0**trial.number, 1)
        if trial.number % 3:
            trial.suggest_float("sometimes", 1e-300, 1e300, log=True)
        trial.suggest_categorical("mixed", [None, True, 3, "猫" * 40])
        trial.suggest_float("fixed", 2, 2)
        return [0.5, math.inf, -math.inf, 1e300, -1e300, 1e-300][trial.number % 6]

    study.optimize(objective, n_trials=30)
    return study


ODD: dict[str, tuple[Any, list[str]]] = {
    "no trial": (lambda: study_of(), []),
    "all failed": (lambda: study_of(trial(0, FAIL), trial(1, FAIL)), []),
    "one trial": (lambda: study_of(trial(0, COMPLETE)), ["curves"]),
    "one value": (lambda: study_of(create_trial(value=0.5, params={"x": 0.5}, distributions=X)), []),
    "all pruned": (lambda: study_of(trial(0, PRUNED, 3), trial(1, PRUNED, 1)), ["curves"]),
    "pruned at NaN": (lambda: study_of(create_trial(state=PRUNED, intermediate_values={1: math.nan})), []),
    "equal values": (
        lambda: study_of(*[create_trial(value=0.5, params={"x": x / 9}, distributions=X) for x in range(9)]),
        ["slices", "history"],
    ),
    "infinite": (lambda: study_of(create_trial(value=math.inf), create_trial(value=-math.inf)), []),
    "two objectives": (
        lambda: study_of(
            *[create_trial(values=[n / 5, (n - 3) ** 2]) for n in range(5)],
            direction=None,
            directions=["maximize", "minimize"],
        ),
        ["front", "hypervolume"],
    ),
    "three objectives": (
        lambda: study_of(
            *[create_trial(values=[n / 5, (n - 3) ** 2, n % 3]) for n in range(5)],
            direction=None,
            directions=["maximize", "minimize", "minimize"],
        ),
        ["front", "hypervolume"],
    ),
    "three objectives, one trial": (
        lambda: study_of(create_trial(values=[1, 2, 3]), direction=None, directions=["maximize"] * 3),
        [],
    ),
    "more objectives than panels": (
        lambda: study_of(
            *[create_trial(values=[n / 5, *(abs(n - x) for x in range(14))]) for n in range(5)],
            direction=None,
            directions=["maximize"] + ["minimize"] * 14,
        ),
        ["front", "hypervolume"],
    ),
    "two objectives, none": (lambda: study_of(direction=None, directions=["minimize"] * 2), []),
    "plain Optuna": (plain, ["history", "parallel", "slices"]),
    "wild": (wild, ["history", "parallel", "slices"]),
    "attributes of others": (
        lambda: study_of(*[create_trial(value=v, user_attrs={"epoch": 3, "config": "mine"}) for v in (0.1, 0.2)]),
        ["history"],
    ),
}


@pytest.mark.parametrize(("study", "expected"), ODD.values(), ids=ODD)
def test_odd_studies_have_the_pictures_that_show_something(study: Any, expected: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = study()
        path = write(made, Path("reports"))
    found = [Path(link).stem for link in links(path.read_text(encoding="utf-8"))]
    assert sorted(found) == sorted(expected)
    assert all((path.parent / link).is_file() for link in links(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("file", [*sorted((REPO / "reports").glob("*.md")), REPO / "README.md"], ids=lambda f: f.name)
def test_every_link_of_the_committed_pages_leads_somewhere(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not [link for link in links(text) if not (file.parent / link).exists()]
    assert any(token.type == "table_open" for token in parse(text))
