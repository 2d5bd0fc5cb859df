"""Names with mathtext or TeX in them are drawn as they are, in files and in figures that a notebook draws later."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import optuna
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import create_trial
from reporting.plots.test_plots import whole

import search
from search.analysis.view import StudyView
from search.reporting.plots import best_over_time, canvas
from search.reporting.plots.registry import PLOTS, figures
from search.study.storage.internals import set_system_attr

ODD = r"$\frac{1$ $x_2$ \n<b>%&#~^{}_"
URL = "sqlite:///studies.db"


@pytest.fixture(autouse=True)
def tex() -> Iterator[None]:
    """A user whose matplotlib sets all text with TeX, which is not there."""
    with matplotlib.rc_context({"text.usetex": True, "axes.formatter.use_mathtext": True}):
        yield


def study_of(name: str, *metrics: str) -> Study:
    """A study all of whose names are odd, with each picture that one or several objectives have."""
    study = optuna.create_study(storage=URL, study_name=name, directions=[StudyDirection.MAXIMIZE] * len(metrics))
    set_system_attr(study, "study:metric_names", [*metrics])
    study.set_user_attr("metric", metrics[0])
    lr, kind, size = f"lr {ODD}", f"kind {ODD}", "_$n$"
    ranges: dict[str, Any] = {
        lr: FloatDistribution(1e-4, 1, log=True),
        kind: CategoricalDistribution((f"a {ODD}", "_b$")),
        size: IntDistribution(1, 1234567),
    }
    for number in range(30):
        value = 0.3 + number / 100
        params = {lr: 10.0 ** (-4 + number / 8), kind: ranges[kind].choices[number % 2], size: 1 + number * 40_000}
        attrs = {"config": params, "epoch": {"machine_seconds": 1.0}, "cost": {"parameters": 1000 + number * 10}}
        values: dict[str, Any] = {"values": [value, -value]} if len(metrics) > 1 else {"value": value}
        study.add_trial(
            create_trial(params=params, distributions=ranges, user_attrs=attrs, **values,
                         intermediate_values={} if len(metrics) > 1 else {1: 0.1, 2: value})
        )  # fmt: skip
    return study


def words(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()]


def test_names_are_drawn_as_they_are() -> None:
    one, several = study_of("one", f"loss {ODD}"), study_of("several", f"acc {ODD}", "_$size$")
    views = [StudyView(whole()), StudyView(several), StudyView(one)]  # the first: of odd classes
    made = {name: figure for view in views for name, figure in figures(view).items()}
    assert made.keys() == PLOTS.keys()
    for name, figure in made.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure.canvas.draw()  # as a notebook does, outside of our style
        odd = [text for text in words(figure) if set(text.get_text()) & set("$\\_^")]
        assert odd or name in ("importances", "hypervolume"), name  # which show no name
        for text in odd:
            assert not text.get_parse_math(), (name, text)
            assert not text.get_usetex(), (name, text)
            assert text.get_window_extent().width > 0, (name, text)


def test_names_of_studies_side_by_side_are_drawn_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    save = canvas.save

    def keep(figure: Figure, path: Path) -> None:
        save(figure, path)
        drawn.append(figure)

    monkeypatch.setattr(canvas, "save", keep)
    views = [StudyView(study_of(name, f"loss {ODD}")) for name in (f"a {ODD}", "_$b$")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert best_over_time.draw(views, Path()) is not None
    shown = [text for text in words(drawn[0]) if "$" in text.get_text()]
    assert {text.get_text().strip() for text in shown} >= {f"best loss {ODD} so far", f"a {ODD}", "_$b$"}
    assert not any(text.get_parse_math() or text.get_usetex() for text in shown)


def test_a_run_with_odd_names_has_its_pictures(cli: Any, write: Any) -> None:
    write(
        "own.py",
        r"""
        from search import Choice, Float, SearchSpace
        space = SearchSpace(x=Float(0, 1), kind=Choice("$a$", "$\\frac{"), **{"$n_1": Float(0, 1)})
        metric, direction, trials = "$\\alpha$", "maximize", 4
        def train(config):
            yield {"$\\alpha$": config["x"]}
        """,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cli("run", "own.py", "--engine", "inline").status == 0
    assert {file.stem for file in Path("reports/own_files").glob("*.png")} >= {"slices", "parallel", "history"}
    assert sorted(search.figures("own")) == sorted(file.stem for file in Path("reports/own_files").glob("*.png"))
