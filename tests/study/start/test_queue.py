"""What runs first: the best of an earlier study, and hand-tuned rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from search import Choice, Float, Int, SearchSpace
from search.config import make_config
from search.errors import SearchError
from search.space.baselines import Baseline
from search.space.file import SpaceFile
from search.study import study as studies
from search.study.start import queue
from search.study.storage import open as storages

URL = "sqlite:///studies.db"


def space_file(space: Any, **options: Any) -> SpaceFile:
    return SpaceFile(Path("space.py"), "space", space, options.pop("train", lambda config: iter(())), **options)


def run(name: str, file: SpaceFile, points: list[dict[str, Any]], values: list[float] | None = None) -> optuna.Study:
    """A study as the driver leaves it: each of `points` completed, by default the first the best."""
    study = studies.open_study(URL, name, file)
    for i, point in enumerate(points):
        study.enqueue_trial(point)
        trial = study.ask()
        settings = file.suggest(trial)
        if file.train is None:
            settings = make_config(settings).model_dump(mode="json")
        trial.set_user_attr("config", settings)
        study.tell(trial, values[i] if values else 1 - i / 100)
    return study


X = space_file(SearchSpace(x=Float(0, 1), kind=Choice("plain", "odd")))


def found(file: SpaceFile) -> tuple[list[tuple[int, dict[str, Any]]], dict[str, int]]:
    points = queue.best_points(URL, "broad", "narrow", file)
    return points.found, dict(points.skipped)


def test_the_best_come_first_and_only_what_the_new_space_has() -> None:
    worse_first = [{"x": 0.1, "kind": "odd"}, {"x": 0.9, "kind": "odd"}, {"x": 0.2, "kind": "plain"}]
    study = run("broad", X, worse_first, [0.1, 0.9, 0.5])
    study.tell(study.ask(), state=TrialState.PRUNED)
    assert found(X) == ([(1, worse_first[1]), (2, worse_first[2]), (0, worse_first[0])], {})
    assert found(space_file(SearchSpace(x=Float(0, 1)))) == ([(1, {"x": 0.9}), (2, {"x": 0.2}), (0, {"x": 0.1})], {})
    narrow = space_file(SearchSpace(x=Float(0.15, 0.5), kind=Choice("plain", "even")))
    expected = {"x, outside the new range": 2}
    assert found(narrow) == ([(2, worse_first[2])], expected)
    studies.open_study(URL, "down", space_file(SearchSpace(x=Float(0, 1)), direction="minimize"))
    run("down", space_file(SearchSpace(x=Float(0, 1)), direction="minimize"), [{"x": 0.3}, {"x": 0.4}], [2.0, 1.0])
    assert [number for number, _ in queue.best_points(URL, "down", "narrow", narrow_x()).found] == [1, 0]


def narrow_x() -> SpaceFile:
    return space_file(SearchSpace(x=Float(0, 1)))


def test_points_that_are_equal_in_the_new_space_count_once_and_ten_are_enough() -> None:
    both = [{"x": i / 40, "kind": kind} for i in range(15) for kind in ("plain", "odd")]
    run("broad", X, both)
    points, skipped = found(narrow_x())
    assert [params["x"] for _, params in points] == [i / 40 for i in range(10)]
    assert [number for number, _ in points] == list(range(0, 20, 2))
    assert skipped == {}


CONFIG = dict(model="alexnet", dataset="caltech101", epochs=3, batch_size=8, lr=Float(0.001, 1), momentum=0.9)
STEP = dict(step_size=Int(1, 9), gamma=0.1)


def test_what_was_fixed_there_may_vary_here_and_an_option_counts_by_its_meaning() -> None:
    """A study on a part of the images, with a fixed momentum, and other labels for what is frozen."""
    frozen = Choice(all=(), head_alone=("features",))
    broad = space_file(SearchSpace(**CONFIG | STEP, frozen=frozen, subset=101), train=None)
    run("broad", broad, [{"lr": 0.1, "step_size": 5, "frozen": "head_alone"}])
    varied = dict(momentum=Float(0.8, 0.99), gamma=Choice(0.01, 0.1), frozen=Choice(none=(), features=("features",)))
    here = space_file(SearchSpace(**CONFIG | STEP | varied), train=None)
    params = {"lr": 0.1, "momentum": 0.9, "step_size": 5, "gamma": "0.1", "frozen": "features"}
    assert found(here) == ([(0, params)], {})
    with pytest.raises(SearchError, match=r"left out are 1 for dropout, outside the new range$"):
        found(space_file(SearchSpace(**CONFIG | STEP, dropout=Float(0.1, 0.5)), train=None))


def test_branches_are_told_apart() -> None:
    recipes = dict(
        recipe=Choice(
            step=dict(schedule="step", step_size=Int(1, 9), gamma=0.1),
            cosine=dict(schedule="cosine", warmup_epochs=Float(0, 1)),
        )
    )
    file = space_file(SearchSpace(**CONFIG | recipes), train=None)
    best = {"lr": 0.1, "recipe": "cosine", "warmup_epochs": 0.5}
    run("broad", file, [best, {"lr": 0.2, "recipe": "step", "step_size": 3}])
    assert found(file)[0] == [(0, best), (1, {"lr": 0.2, "recipe": "step", "step_size": 3})]
    alike = space_file(SearchSpace(which=Choice(a=dict(x=Float(0, 1)), b=dict(x=Float(0, 1)))))
    run("alike", alike, [{"which": "b", "b.x": 0.5}])
    assert queue.best_points(URL, "alike", "new", alike).found == [(0, {"which": "b", "b.x": 0.5})]


def by_run(trial: optuna.trial.BaseTrial) -> dict[str, Any]:
    kind = trial.suggest_categorical("kind", ["plain", "odd"])
    if kind == "odd":
        return {"kind": kind, "x": trial.suggest_float("x", 0, 1)}
    return {"kind": kind, "y": trial.suggest_float("y", 0, 1)}


def test_a_define_by_run_space_takes_what_it_asks_for_by_name() -> None:
    run("broad", X, [{"x": 0.5, "kind": "plain"}, {"x": 0.25, "kind": "odd"}])
    here = space_file(by_run)
    assert found(here) == ([(1, {"kind": "odd", "x": 0.25})], {"y, which it has not": 1})
    assert found(space_file(by_run, fixed={"kind": "odd"}))[0] == [
        (0, {"kind": "odd", "x": 0.5}),
        (1, {"kind": "odd", "x": 0.25}),
    ]

    def broken(trial: optuna.trial.BaseTrial) -> dict[str, Any]:
        if trial.suggest_float("x", 0, 1) > 0.3:
            raise RuntimeError("no")
        return {}

    assert found(space_file(broken)) == ([(1, {"x": 0.25})], {"space(trial), which raised RuntimeError": 1})


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("narrow", r"source=narrow: that is this study itself; give the new one a name= of its own"),
        ("braod", r"no study 'braod' in sqlite:///studies.db; did you mean 'broad'\?"),
        ("empty", r"source=empty: no trial of it completed, so that it has no best to start from"),
        ("broad", r"source=broad: no completed trial of its 2 is a point of this space: left out are "
                  r"2 for y, which it has not"),
    ],
)  # fmt: skip
def test_a_source_that_gives_nothing_is_named(source: str, says: str) -> None:
    run("broad", X, [{"x": 0.5, "kind": "plain"}, {"x": 0.25, "kind": "odd"}])
    studies.open_study(URL, "empty", X)
    with pytest.raises(SearchError, match=f"^{says}$"):
        queue.best_points(URL, source, "narrow", space_file(SearchSpace(y=Float(0, 1))))
    assert sorted(study.study_name for study in storages.connect(URL).get_all_studies()) == ["broad", "empty"]


def test_nothing_is_queued_twice() -> None:
    run("broad", X, [{"x": 0.5, "kind": "plain"}, {"x": 0.25, "kind": "odd"}, {"x": 0.75, "kind": "odd"}])
    study = studies.open_study(URL, "narrow", space_file(SearchSpace(x=Float(0, 0.6))))
    study.add_trial(create_trial(params={"x": 0.25}, distributions={"x": FloatDistribution(0, 0.6)}, value=0.1))
    points = queue.best_points(URL, "broad", "narrow", space_file(SearchSpace(x=Float(0, 0.6))))
    rest = "left out: 1 for x, outside the new range"
    said = queue.queue_points(study, points)
    assert said == f"the best of broad that go first: 1; already in this study: 1; {rest}"
    said = queue.queue_points(study, points)
    assert said == f"the best of broad that go first: 0; already in this study: 2; {rest}"
    (waiting,) = study.get_trials(states=(TrialState.WAITING,))
    assert waiting.user_attrs == {"from": "broad, trial 0"}
    assert study.ask().suggest_float("x", 0, 0.6) == 0.5


POINT = dict(
    model="alexnet", weights=None, frozen=(), lr=0.01, momentum=0.9, weight_decay=0.0, epochs=2, step_size=5, gamma=0.1
)


def test_baselines_that_are_points_of_the_space_run_first() -> None:
    space = SearchSpace(
        **POINT | dict(dataset="digits", lr=Float(1e-3, 1.0), gamma=Choice(0.1, 0.5), step_size=Int(1, 9))
    )
    baselines = [
        Baseline("far", POINT | dict(lr=5.0), 1.0, 0.5, 0.4),
        Baseline("near", POINT, 1.0, 0.6, None),
    ]
    file = space_file(space, train=None, baselines=baselines)
    study = studies.open_study(URL, "s", file)
    for _ in range(2):  # the second time, nothing is queued again
        queue.queue_baselines(study, file)
    waiting = study.get_trials()
    assert [trial.user_attrs for trial in waiting] == [{"baseline": "near"}]
    assert [kept["name"] for kept in study.user_attrs["baselines"]] == ["far", "near"]
    first = study.ask()
    assert first.number == 0
    assert file.suggest(first) == POINT | dict(dataset="digits")
