"""One ranking says what is the best: a trial that breaks a constraint is it nowhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Cli
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, create_trial

from search.analysis.view import StudyView
from search.errors import SearchError
from search.space.file import SpaceFile
from search.space.space import Float, SearchSpace
from search.study import sampler
from search.study.attributes import leading, no_best
from search.study.start import queue
from search.study.storage.open import connect

URL = "sqlite:///studies.db"
SPACE = SpaceFile(Path("narrow.py"), "narrow", SearchSpace(x=Float(0, 100)), train=None, metric="value")


def trial(x: float, kept: bool, values: list[float] | None = None, key: str = "constraints:c") -> FrozenTrial:
    broken: Any = [0.0, 1.0] if key == "constraints" else 1.0
    return create_trial(
        values=values or [x],
        params={"x": x},
        distributions={"x": optuna.distributions.FloatDistribution(0, 100)},
        system_attrs={key: -1.0 if kept and key != "constraints" else [-1.0] if kept else broken},
    )


def made(name: str, *trials: FrozenTrial, directions: Sequence[Any] = ("minimize",)) -> Study:
    study = optuna.create_study(storage=connect(URL), study_name=name, directions=directions)
    study.add_trials(trials)
    return study


def test_status_names_the_best_of_the_ranking(cli: Cli) -> None:
    many = [trial(i / 8, kept=False, key=key) for i in range(120) for key in ("constraints:c", "constraints")][:150]
    study = made("held", *many, trial(50, kept=True), trial(40, kept=True), trial(40, kept=True))
    made(
        "up", trial(3, kept=True, key="constraints"), trial(9, kept=False, key="constraints"), directions=("maximize",)
    )
    made("endless", create_trial(value=float("-inf")), create_trial(value=2.0))
    made("none", trial(1, kept=False), trial(2, kept=False))
    made("pair", trial(1, True, [1.0, 2.0]), directions=("minimize", "maximize"))
    found = {row["study"]: (row["best"], row["best_trial"]) for row in json.loads(cli("status", "--json").out)}
    known = {"held": (40.0, 151), "up": (3.0, 0), "endless": (2.0, 1), "none": (None, None), "pair": (None, None)}
    assert found == known
    assert [trial.number for trial in leading(study)][:2] == [151, 152]
    for word in ((), ("--csv",)):
        lines = cli("status", *word).out.splitlines()
        assert "40" in next(line for line in lines if "held" in line)


def test_only_what_keeps_the_constraints_goes_first() -> None:
    made("held", *(trial(x, kept=x > 4) for x in range(1, 8)))
    points = queue.best_points(URL, "held", "narrow", SPACE)
    assert [number for number, _ in points.found] == [4, 5, 6]
    study = made("narrow")
    assert queue.queue_points(study, points) == (
        "the best of held that go first: 3; left out: 4 for breaking a constraint"
    )
    made("none", trial(1, kept=False), trial(2, kept=False))
    why = "2 trials completed, and all break a constraint, so there is no best to start from"
    with pytest.raises(SearchError, match=f"^source=none: {why}$"):
        queue.best_points(URL, "none", "narrow", SPACE)


def test_the_sampler_of_a_long_study_keeps_the_best_that_keep_the_constraints() -> None:
    trials = [trial(50, kept=True), *(trial(i % 10, kept=False) for i in range(1200))]
    assert trials[0] in sampler.bounded(trials, [StudyDirection.MINIMIZE])


@pytest.mark.parametrize(("directions", "values"), [(("minimize",), [1.0]), (("minimize", "maximize"), [1.0, 2.0])])
def test_why_there_is_no_best(cli: Cli, directions: tuple[str, ...], values: list[float]) -> None:
    study = made("none", *(trial(x, False, values) for x in (1, 2)), directions=directions)
    assert leading(study) == []
    assert StudyView(study).best is None
    assert no_best(study) == "2 trials completed, and all break a constraint, so there is no best"
    out = cli("report", "none").out
    page = Path("reports/none.md").read_text(encoding="utf-8")
    for text in (page, *((out,) if len(values) > 1 else ())):
        assert "o trial completed" not in text
    assert "2 trials completed, and all break a constraint, so there is no best." in page
    if len(values) == 1:
        assert "and all break a constraint" in cli("export", "none").err
