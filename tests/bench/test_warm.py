"""The bench of warm starts: what is recorded is what the trainer does, and each side is what it is called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import held, warm, warm_table
from benchmarks.problems import PROBLEMS
from benchmarks.record import inputs
from benchmarks.record_held import train_rows
from search import TrainConfig
from search.study.start.scores import Past
from search.train import train

BY_NAME = {problem.name: problem for problem in (*PROBLEMS, *held.PROBLEMS)}
DIGITS = BY_NAME["digits_onecycle"]


@pytest.mark.parametrize(("name", "point"), [("digits_onecycle", (4, 2, 1, 1)), ("lite0_adamw", (3, 1, 0, 1))])
def test_rows_have_the_curves_that_the_trainer_gives_them(name: str, point: tuple[int, ...], one_thread: None) -> None:
    settings = BY_NAME[name].settings(point) | dict(dataset="digits", precision="fp32", epochs=2, batch_size=32)
    config = TrainConfig(**settings)
    right = train_rows([config, config], inputs(DIGITS, Path()), 10)
    own = [round(epoch.val_acc * 449) for epoch in train(config, threads=1)]
    assert np.abs(right - own).max() <= 1


def test_a_problem_that_was_held_back_is_seen_by_its_first_seed_and_judged_by_the_mean() -> None:
    assert DIGITS in held.recorded()
    seen, means = held.curves(DIGITS), held.reached(DIGITS)
    assert seen.shape == (*DIGITS.shape, DIGITS.epochs)
    assert means.shape == DIGITS.shape
    best = np.unravel_index(np.nanargmax(seen[..., -1]), DIGITS.shape)
    assert means[best] != seen[(*best, -1)]  # three seeds
    assert np.nanmax(means) < np.nanmax(seen[..., -1]) + 0.01


def test_shuffled_and_turned_studies_have_the_same_trials_and_know_nothing_or_the_contrary() -> None:
    past = Past("s", [{"a": 0.0}, {"a": 1.0}, {"a": 2.0}], np.array([0.0, -1.0, -3.0]))
    (other,) = warm.shuffled(lambda problem, seed: [past])(DIGITS, 1)
    assert sorted(other.standing) == sorted(past.standing)
    (other,) = warm.turned(lambda problem, seed: [past])(DIGITS, 1)
    assert other.standing.tolist() == [-3.0, -2.0, 0.0]


def test_no_study_of_the_same_data_is_among_those_of_other_data(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Past("s", [], np.array([0.0]))
    monkeypatch.setattr(warm, "past", lambda name, seed: Past(name, made.places, made.standing))
    target = BY_NAME["lite0_linear"]
    assert [past.name for past in warm.others(PROBLEMS, same=False)(target, 0)] == ["digits_mlp"]
    same = warm.others(PROBLEMS, same=True)(target, 0)
    assert {past.name: past.weight for past in same} == {"digits_mlp": 1.0, "lite0_bottleneck": 3.0}


def test_a_verdict_is_paired_and_the_bar_is_the_floor_or_a_third_of_the_habit() -> None:
    less, more = np.arange(20.0) + 50, np.arange(20.0) + 90
    assert warm_table.verdict(less, more).startswith("better")
    assert warm_table.verdict(more, less).startswith("worse")
    assert warm_table.verdict(less, less) == "level"
    costs = {warm.COLD: more, warm.OTHER: less, **dict.fromkeys(warm.HABITS, more)}
    cell = warm.Cell(DIGITS, 2, costs)
    assert warm_table.bar(cell) == "59 against 33"
    assert warm_table.bar(warm.Cell(DIGITS, 2, costs | {warm.OTHER: less - 30})) == "holds"


def test_what_limits_a_problem_is_how_good_the_points_are_that_its_studies_begin_with() -> None:
    good = held.reached(DIGITS)
    best = np.unravel_index(np.nanargmax(good), DIGITS.shape)
    places = [point.place for point in warm.points_of(DIGITS.name)]
    knows_all = Past("s", places, np.nan_to_num(good.ravel() - np.nanmax(good), nan=-3.0))
    assert 0 <= warm.short(DIGITS, [knows_all], 0) < 0.02
    wrong = Past("s", places, -knows_all.standing - 3)
    assert warm.short(DIGITS, [wrong], 0) > warm.short(DIGITS, [knows_all], 0)
    assert good[best] == np.nanmax(good)
    costs = dict.fromkeys((warm.COLD, warm.OTHER, warm.ALL, warm.NOTHING, warm.WRONG, *warm.HABITS), np.full(2, 90.0))
    cell = warm.Cell(DIGITS, 2, costs, np.array([0.004, 0.02]))
    assert (
        "ends 0.4% below the best of all in the median, and within 0.5% with 1 of 2 seeds"
        in warm_table.limits([cell])[-1]
    )
    assert warm_table.limits([warm.Cell(DIGITS, 2, costs | {warm.OTHER: np.full(2, 24.0)})]) == []
    nothing = warm.Cell(DIGITS, 2, costs, np.full(2, np.inf))
    assert "no study of other data counts" in warm_table.limits([nothing])[-1]


def test_where_a_cold_search_is_worse_its_share_of_good_points_is_said() -> None:
    less, more = np.arange(20.0) + 50, np.arange(20.0) + 90
    cell = warm.Cell(DIGITS, 2, dict.fromkeys((warm.OTHER, *warm.HABITS), less) | {warm.COLD: more}, np.zeros(20))
    line = warm_table.limits([cell])[-1]
    assert line.startswith(f"- `{DIGITS.name}`, cold: 7% of its points end within 0.5% of the best")
    assert line.endswith("from epoch 1 on, the default from epoch 4 on.")


def test_points_are_the_grid_s_in_an_order_of_the_seed_s() -> None:
    grid, one, other = warm.points_of(DIGITS.name), warm.drawn(DIGITS.name, 1), warm.drawn(DIGITS.name, 2)
    assert one != other != grid
    assert {tuple(point.params.values()) for point in one} == {tuple(point.params.values()) for point in grid}
    assert warm.drawn(DIGITS.name, 1) == one


def test_a_problem_with_adam_learns_from_none_with_sgd(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(name: str, seed: int) -> Past:
        return Past(name, [warm.points_of(name)[0].place], np.array([0.0]))

    monkeypatch.setattr(warm, "past", made)
    learn = warm.others([*PROBLEMS, *held.PROBLEMS], same=True)
    assert learn(BY_NAME["lite0_adamw"], 0) == []
    assert "lite0_adamw" not in {past.name for past in learn(DIGITS, 0)}
