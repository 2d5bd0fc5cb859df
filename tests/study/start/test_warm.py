"""The first points of a study, from what the others of its storage know."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from search import Choice, Float, SearchSpace
from search.config import make_config
from search.space.file import SpaceFile
from search.study import study as studies
from search.study.attributes import StudyRecord, TrialRecord
from search.study.pruner import ASHA
from search.study.start.coordinates import nearness, place_of
from search.study.start.doubts import Doubts
from search.study.start.scores import APART
from search.study.start.warm import ENOUGH, POINTS, knowledge, learnt, queue_learnt

URL = "sqlite:///studies.db"
SPACE = SearchSpace(x=Float(0, 10), y=Float(0, 10), kind=Choice("plain", "odd"))


def file(space: Any = SPACE, **options: Any) -> SpaceFile:
    return SpaceFile(Path("space.py"), "space", space, options.pop("train", lambda config: iter(())), **options)


def earlier(name: str, best: float = 3.0, count: int = 30, url: str = URL, **more: Any) -> optuna.Study:
    """A study whose trials are the better the nearer x is to `best`; y and kind do not matter."""
    study = studies.open_study(url, name, file())
    trials = []
    for number in range(count):
        x = (number * 7 % 31) / 3.1
        config = {"x": x, "y": number % 10 + 0.5, "kind": "odd" if number % 2 else "plain"}
        trials.append(create_trial(value=-abs(x - best), user_attrs={"config": config}, **more))
    study.add_trials(trials)
    return study


def new(name: str = "new", space: Any = SPACE, **options: Any) -> tuple[optuna.Study, SpaceFile]:
    made = file(space, **options)
    Path("space.py").write_text("def space(trial):\n    return {}\n", encoding="utf-8")
    return studies.open_study(URL, name, made), made


def test_the_promised_points_lie_where_the_others_were_good_and_far_from_each_other() -> None:
    earlier("old")
    study, space = new()
    found = knowledge(study, space)
    assert found.names == ["old"]
    count = 3  # of POINTS: the top quarter has no room for more that are far from each other
    assert queue_learnt(study, found) == count
    waiting = study.get_trials()
    points = [trial.system_attrs["fixed_params"] for trial in waiting]
    assert all(abs(point["x"] - 3) < 1.5 for point in points[::2])
    assert points[1::2] == [{}] * count  # each before one that the sampler draws
    assert [TrialRecord(trial).learnt for trial in waiting] == [["old"], None] * count
    places = [place_of(point) for point in points[::2]]
    near = nearness(places, places, found.units)
    assert near[~np.eye(count, dtype=bool)].max() <= APART
    assert learnt(study) == count


def test_the_best_of_one_setting_goes_first_and_not_the_end_of_its_range() -> None:
    """The optimum lies near an end, where a wide kernel sees good trials on one side alone."""
    space = SearchSpace(lr=Float(1e-5, 1.0, log=True))
    study = studies.open_study(URL, "old", file(space))
    rates = [10 ** (-5 * number / 29) for number in range(30)]
    ended = [create_trial(value=-abs(math.log10(lr) + 1), user_attrs={"config": {"lr": lr}}) for lr in rates]
    study.add_trials(ended)
    (first, _), *rest = knowledge(*new(space=space)).best(POINTS)
    assert abs(math.log10(first.params["lr"]) + 1) < 0.3
    assert all(abs(math.log10(point.params["lr"]) + 1) < 1.5 for point, _ in rest)


def test_a_batch_size_counts_in_powers_of_ten_and_a_dropout_may_be_in_percent() -> None:
    earlier_space = SearchSpace(batch_size=Float(16, 256), dropout=Float(0, 50))
    study = studies.open_study(URL, "old", file(earlier_space))
    configs = [{"batch_size": 16 + 8.0 * number, "dropout": float(number)} for number in range(30)]
    study.add_trials([create_trial(value=-config["dropout"], user_attrs={"config": config}) for config in configs])
    found = knowledge(*new(space=SearchSpace(batch_size=Choice(32, 64, 128), dropout=Float(0, 50))))
    assert found.names == ["old"]
    assert found.units["batch_size"] == 0.5
    assert 4 < found.units["dropout"] < 8


def test_a_study_of_plain_optuna_is_no_source_whatever_its_attributes() -> None:
    plain = optuna.create_study(storage=RDBStorage(URL), study_name="plain", direction="maximize")
    plain.add_trials(
        [create_trial(value=x, user_attrs={"config": {"x": x, "y": 1.0, "kind": "odd"}}) for x in range(9)]
    )
    found = knowledge(*new())
    assert (found.names, dict(found.left_out)) == ([], {"not made by `search run`": 1})


@pytest.mark.parametrize(("ours", "learns"), [("Adam", []), ("SGD", ["old"])])
def test_an_own_train_learns_of_its_optimizer_alone_where_it_is_a_setting(ours: str, learns: list[str]) -> None:
    study = studies.open_study(URL, "old", file(SearchSpace(x=Float(0, 10), optimizer="sgd")))
    configs = [{"x": float(x), "optimizer": "sgd"} for x in range(9)]
    study.add_trials([create_trial(value=-x, user_attrs={"config": config}) for x, config in enumerate(configs)])
    assert knowledge(*new(space=SearchSpace(x=Float(0, 10), optimizer=ours))).names == learns


def test_pruned_and_diverged_trials_keep_away_and_other_failures_say_nothing() -> None:
    study = earlier("old", count=10)
    for number in range(30):
        where = {"x": 8.5 if number < 20 else 3.0, "y": 5.0, "kind": "odd"}
        ended: dict[str, Any] = {"state": TrialState.PRUNED, "user_attrs": {"config": where}}
        if number % 2:
            ended = {"state": TrialState.FAIL, "user_attrs": {"config": where, "error": "diverged: NaN"}}
        if number >= 20:
            ended = {"state": TrialState.FAIL, "user_attrs": {"config": where, "error": "user_code: KeyError"}}
        study.add_trial(create_trial(**ended))
    found = knowledge(*new())
    (past,) = found.pasts
    assert len(past.places) == 30
    assert past.standing[10:].max() == past.standing.min()


def test_what_is_no_source_is_left_out_and_counted() -> None:
    earlier("few", count=ENOUGH - 1)
    StudyRecord(earlier("confirming")).confirms = "old"
    StudyRecord(earlier("ours")).own_train = False
    StudyRecord(earlier("theirs")).metric = "another"
    other = studies.open_study(URL, "other", file(SearchSpace(z=Float(0, 1))))
    other.add_trials([create_trial(value=i, user_attrs={"config": {"z": i / 9}}) for i in range(9)])
    studies.open_study(URL, "down", file(direction="minimize")).add_trials(
        [create_trial(value=float(i), user_attrs={"config": {"x": i / 9, "y": 1.0, "kind": "odd"}}) for i in range(9)]
    )
    plain = optuna.create_study(storage=RDBStorage(URL), study_name="plain", direction="maximize")
    ranges: dict[str, BaseDistribution] = {"x": FloatDistribution(0, 10)}
    plain.add_trials([create_trial(value=i, params={"x": float(i)}, distributions=ranges) for i in range(9)])
    found = knowledge(*new())
    assert found.pasts == []
    assert dict(found.left_out) == {
        f"with fewer than {ENOUGH} completed trials": 1,
        "not made by `search run`": 1,
        "of another direction or several metrics": 1,
        "confirming another": 1,
        "of other training": 2,
        "without a setting that varies in both": 1,
    }
    assert found.best(POINTS) == []


@pytest.mark.parametrize(("low", "learns"), [(100.0, []), (5.0, ["old"])])
def test_ranges_far_from_those_of_an_earlier_study_learn_nothing_of_it(low: float, learns: list[str]) -> None:
    earlier("old")
    found = knowledge(*new(space=SearchSpace(x=Float(low, 2 * low), y=Float(low, 2 * low), kind="odd")))
    assert found.names == learns
    assert dict(found.left_out) == ({} if learns else {"of ranges far from these": 1})


@pytest.mark.parametrize(("optimizer", "learns"), [("adamw", []), ("sgd", ["sgd"]), (Choice("sgd", "adamw"), ["sgd"])])
def test_rates_of_sgd_say_nothing_of_adam_s(optimizer: Any, learns: list[str]) -> None:
    """Nor do the weight decays that were good beside them. In a space with both, points with SGD are promised alone."""
    built_in = dict(model="mlp", dataset="digits", epochs=3, schedule="cosine", optimizer=optimizer)
    space = SearchSpace(**built_in, lr=Float(1e-4, 1.0, log=True), weight_decay=Float(1e-6, 1e-2, log=True))
    options: dict[str, Any] = dict(train=None, metric="val_acc")
    old = studies.open_study(URL, "sgd", file(space, **options))
    for number in range(9):
        config = make_config(built_in | dict(optimizer="sgd", lr=10 ** (-number / 3), weight_decay=1e-4))
        old.add_trial(create_trial(value=number / 9, user_attrs={"config": config.model_dump(mode="json")}))
    found = knowledge(*new(space=space, **options))
    assert found.names == learns
    left = {} if learns else {"of optimizers whose rates say nothing of this one's": 1}
    assert dict(found.left_out) == left
    assert bool(found.best(POINTS)) == bool(learns)
    assert {point.place["optimizer"] for point, _ in found.best(POINTS)} == {*learns}


def test_a_trial_that_breaks_a_constraint_stands_as_the_worst() -> None:
    study = earlier("old", count=10)
    where = {"x": 9.0, "y": 1.0, "kind": "odd"}
    study.add_trial(create_trial(value=5.0, user_attrs={"config": where}, system_attrs={"constraints": [1.0]}))
    (past,) = knowledge(*new()).pasts
    assert past.standing[-1] == past.standing.min()


def test_the_best_of_an_earlier_study_are_points_to_choose_from_where_the_space_has_them() -> None:
    earlier("old")
    narrow = SearchSpace(x=Float(0, 10), y=Float(2, 3), kind=Choice("odd", "even"))
    study, space = new(space=narrow)
    found = knowledge(study, space)
    assert all(2 <= point.params["y"] <= 3 and point.params["kind"] in ("odd", "even") for point in found.points)
    assert queue_learnt(study, found)


def test_studies_of_the_same_data_count_more() -> None:
    for name, print_ in (("same", "0123"), ("others", "4567")):
        StudyRecord(earlier(name)).data = {"pictures": {"fingerprint": print_, "classes": [], "images": {}}}
    study, space = new()
    StudyRecord(study).data = {"mine": {"fingerprint": "0123", "classes": [], "images": {}}}
    found = knowledge(study, space)
    assert found.same == {"same"}
    assert {past.name: past.weight for past in found.pasts} == {"same": 3.0, "others": 1.0}


def test_a_space_that_raises_or_prunes_gives_the_points_that_it_has() -> None:
    earlier("old")

    def space(trial: Any) -> dict[str, Any]:
        x = trial.suggest_float("x", 0, 10)
        if x > 5:
            raise optuna.TrialPruned
        return {"x": x, "y": 1.0, "kind": "odd"}

    found = knowledge(*new(space=space))
    assert 0 < len(found.points) < 510
    assert max(point.params["x"] for point in found.points) <= 5


@pytest.mark.parametrize("fixed", [{}, {"x": 4.0}])
def test_what_is_fixed_on_the_command_line_stays_fixed(fixed: dict[str, Any]) -> None:
    earlier("old")

    def space(trial: Any) -> dict[str, Any]:
        return {"x": trial.suggest_float("x", 0, 10), "y": trial.suggest_float("y", 0, 10), "kind": "odd"}

    found = knowledge(*new(space=space, fixed=fixed))
    assert (len({point.params["x"] for point in found.points}) == 1) == bool(fixed)


@pytest.mark.parametrize(("epochs", "rung"), [(None, 4), (12, 4), (3, 3)])
def test_of_trials_shorter_than_the_first_rung_the_last_epoch_is_looked_at(epochs: int | None, rung: int) -> None:
    earlier("old")
    study, space = new(pruner=ASHA())
    assert Doubts(study, knowledge(study, space), epochs).rung == rung


def test_studies_before_the_latest_are_not_read_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.study.start.warm.STUDIES", 2)
    for name in ("first", "second", "third"):
        earlier(name)
    found = knowledge(*new())
    assert (found.names, dict(found.left_out)) == (["third", "second"], {"before the latest 2": 1})


def test_of_a_long_study_a_hundred_trials_are_read() -> None:
    """So that the time it takes does not grow with the trials."""
    for number in range(3):
        earlier(f"old{number}", count=130)
    found = knowledge(*new())
    assert [len(past.places) for past in found.pasts] == [100, 100, 100]
