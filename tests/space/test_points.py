from __future__ import annotations

from pathlib import Path

import pytest
from optuna.samplers import RandomSampler

from search.errors import SearchError
from search.space.file import SpaceFile
from search.space.points import Point, at, draw, neighbours, rate_range
from search.space.space import Choice, Float, Int, SearchSpace


def file(space: object) -> SpaceFile:
    return SpaceFile(Path("s.py"), "s", space)  # type: ignore[arg-type] # a SearchSpace or a function


BRANCHED = SearchSpace(
    model="cnn",
    lr=Float(1e-4, 1e-2, log=True),
    step_size=Int(5, 25, step=5),
    weights=Choice(scratch=None, imagenet=dict(weights="DEFAULT", frozen=Choice(none=(), low=("0",)))),
)


def test_the_middle_of_a_space() -> None:
    point = at(file(BRANCHED), {})
    assert point.settings == dict(model="cnn", lr=1e-3, step_size=15, weights=None)
    assert at(file(SearchSpace(x=Float(0.1, 0.1), n=Int(1, 2))), {}).settings["x"] == 0.1
    assert rate_range(point) == (1e-4, 1e-2)
    assert rate_range(at(file(SearchSpace(lr=0.5)), {})) == (0.5, 0.5)


def test_neighbours_take_every_option_of_every_branch_once_and_both_ends_of_each_range() -> None:
    taken = {(name, option) for name, option, _ in neighbours(file(BRANCHED), at(file(BRANCHED), {}))}
    ends = {("lr", 1e-4), ("lr", 1e-2), ("step_size", 5), ("step_size", 25)}
    # The branch's first option comes with the branch.
    assert taken == ends | {("weights", "imagenet"), ("frozen", "low")}


def test_a_function_is_walked_like_a_space_and_may_raise_at_one_option() -> None:
    def space(trial: object) -> dict[str, object]:
        kind = trial.suggest_categorical("kind", ["a", "b", "c"])  # type: ignore[attr-defined] # Optuna's trial
        if kind == "c":
            raise ValueError("no c\nat all")
        return {"kind": kind, "n": trial.suggest_int("n", 1, 9) if kind == "b" else 0}  # type: ignore[attr-defined] # as above

    found = list(neighbours(file(space), at(file(space), {})))
    assert [(name, option) for name, option, _ in found] == [("kind", "b"), ("kind", "c"), ("n", 1), ("n", 9)]
    assert isinstance(found[3][2], Point)
    assert found[3][2].settings == {"kind": "b", "n": 9}
    assert isinstance(found[1][2], SearchError)
    assert str(found[1][2]) == "s.py: space(trial) raised ValueError: no c"
    with pytest.raises(SearchError, match="returned a int; it must be a dict"):
        draw(file(lambda trial: 3), RandomSampler(seed=0))
