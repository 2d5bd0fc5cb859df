"""Samplers that do not fit the space, and a train() that takes no config: one line before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from driving import ask, drive
from optuna import Trial
from optuna.distributions import BaseDistribution
from optuna.samplers import GridSampler as Grid
from optuna.samplers import PartialFixedSampler as Fixed
from optuna.samplers import RandomSampler
from optuna.trial import TrialState
from refusals import OWN, refused

from search import Choice, Float, Int, SearchSpace
from search.errors import SearchError
from search.space.file import SpaceFile
from search.study.sampler import check_chosen

pytestmark = [
    pytest.mark.usefixtures("sys_path"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]
RUN = ("run", "s.py", "--engine", "inline", "--trials", 1)

SIGNATURES: dict[str, tuple[str, str, str]] = {
    "no argument": ("train(config)", "train()", "s.py:4: train() must take one argument by position: train(config)"),
    "two arguments": ("train(config)", "train(config, seed)", "s.py:4: train() must take one argument by position"),
    "by name alone": ("train(config)", "train(*, config)", "s.py:4: train() must take one argument by position"),
    "a class": ("def train(config)", "class train:\n  def __call__(self)", "s.py: train() must take one argument by"),
    "a callback of nothing": (
        'metric = "score"',
        'metric = "score"; callbacks = [lambda: 1]',
        "s.py:3: callback() must take two arguments by position: callback(study, trial)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), SIGNATURES.values(), ids=SIGNATURES)
def test_a_function_that_takes_other_arguments(
    cli: Cli, write: Callable[[str, str], Path], old: str, new: str, said: str
) -> None:
    write("s.py", OWN.replace(old, new).replace('{"score": config["x"]}', '{"score": 1}'))
    assert said in refused(cli, *RUN)


def test_arguments_with_defaults_are_no_obstacle() -> None:
    def more(config: dict[str, Any], seed: int = 0, *rest: Any, **others: Any) -> Any:
        yield {"score": 1.0}

    assert drive(space=SearchSpace(x=Float(0, 1)))[0].space.train is not None
    from search.space.checks import check_takes

    check_takes(Path("s.py"), "train", more, "config")
    check_takes(Path("s.py"), "train", print, "config")


SPACE = SearchSpace(
    x=Float(0, 1, step=0.25),
    n=Int(1, 3),
    one=Float(0.1, 0.1),
    opt=Choice(sgd=dict(momentum=Float(0, 0.9)), adam={}),
)
XN: dict[str, Any] = dict(x=[0.5], n=[2])


def by_function(trial: Trial) -> dict[str, Any]:
    n = trial.suggest_int("n", 1, 3)
    x = trial.suggest_float("x", 0, n / 3) if trial.suggest_categorical("opt", ["sgd", "adam"]) == "sgd" else 0.0
    return {"x": x, "n": n}


SAMPLERS: dict[str, tuple[Any, Callable[[], Any], str]] = {
    # what it is: the space, the sampler, and what is said; nothing if it fits
    "a whole grid": (SPACE, lambda: Grid(dict(XN, opt=["sgd", "adam"], momentum=[0.5])), ""),
    "without a branch that it never takes": (SPACE, lambda: Grid(dict(XN, opt=["adam"])), ""),
    "a name missing": (
        SPACE,
        lambda: Grid(dict(x=[0.5], opt=["adam"])),
        "the grid has no values for 'n', which the space asks for; known are opt, x",
    ),
    "a name misspelt": (
        SPACE,
        lambda: Grid(dict(xn=[0.5], opt=["adam"], n=[1])),
        "the grid has no values for 'x', which the space asks for; did you mean 'xn'?",
    ),
    "a branch's name missing": (
        SPACE,
        lambda: Grid(dict(XN, opt=["adam", "sgd"])),
        "the grid has no values for 'momentum', which",
    ),
    "a name too many": (
        SPACE,
        lambda: Grid(dict(XN, opt=["adam"], lr=[0.1, 0.2])),
        "the grid's 'lr' is nothing that varies in the space; known are n, one, opt, x",
    ),
    "above the range": (SPACE, lambda: Grid(dict(XN, x=[2.0], opt=["adam"])), "x = 2.0 is not from 0 to 1 in"),
    "between the steps": (
        SPACE,
        lambda: Grid(dict(XN, x=[0.3], opt=["adam"])),
        "x = 0.3 is not from 0 to 1 in steps of 0.25",
    ),
    "half an integer": (SPACE, lambda: Grid(dict(XN, n=[2.5], opt=["adam"])), "n = 2.5 is no integer from 1 to 3"),
    "a text for a number": (SPACE, lambda: Grid(dict(XN, n=["2"], opt=["adam"])), "n = '2' is no integer from 1"),
    "nothing for a number": (SPACE, lambda: Grid(dict(XN, n=[None], opt=["adam"])), "n = None is no integer"),
    "no option": (SPACE, lambda: Grid(dict(XN, opt=["rms"])), "opt = 'rms' is not one of 'sgd', 'adam'"),
    "beside the one value": (SPACE, lambda: Grid(dict(XN, opt=["adam"], one=[0.2])), "one = 0.2 is not 0.1"),
    "a function's grid": (by_function, lambda: Grid(dict(n=[3], x=[0.9], opt=["sgd", "adam"])), ""),
    "a function's range": (by_function, lambda: Grid(dict(n=[1], x=[0.9], opt=["sgd"])), "x = 0.9 is not from"),
    "a function's name": (by_function, lambda: Grid(dict(n=[1], opt=["sgd"])), "the grid has no values for 'x'"),
    "a function's name too many": (by_function, lambda: Grid(dict(n=[1], y=[1], opt=["adam"])), "the grid's 'y"),
    "fixed and in the grid": (
        by_function,
        lambda: Fixed({"n": 1}, Grid(dict(n=[1, 2], opt=["adam"]))),
        "'n' is fixed, and its values in the grid have no effect; leave it out of the grid",
    ),
    "a part of the grid fixed": (by_function, lambda: Fixed({"n": 1}, Grid(dict(opt=["adam"]))), ""),
    "fixed outside": (SPACE, lambda: Fixed({"n": 7}, RandomSampler()), "n = 7 is no integer from 1"),
    "a fixed name missing": (SPACE, lambda: Fixed({"m": 7}, RandomSampler()), "the fixed 'm' is nothing t"),
    "a function's fixed value": (by_function, lambda: Fixed({"n": 7}, RandomSampler()), "n = 7 is no inte"),
    "a function's fixed name": (by_function, lambda: Fixed({"m": 7}, RandomSampler()), "the fixed 'm' is"),
    "fixed inside": (by_function, lambda: Fixed({"n": 2, "opt": "sgd"}, RandomSampler()), ""),
}  # fmt: skip


@pytest.mark.parametrize(("space", "sampler", "said"), SAMPLERS.values(), ids=SAMPLERS)
def test_a_sampler_that_does_not_fit_its_space(space: Any, sampler: Callable[[], Any], said: str) -> None:
    file = SpaceFile(Path("s.py"), "s", space, lambda config: iter(()), sampler=sampler())
    if not said:
        check_chosen(file)
        return
    with pytest.raises(SearchError) as caught:
        check_chosen(file)
    assert str(caught.value).startswith("s.py: ")
    assert said in str(caught.value)


def test_a_grid_is_refused_before_anything_starts(cli: Cli, write: Callable[[str, str], Path]) -> None:
    grid = 'from optuna.samplers import GridSampler\nsampler = GridSampler({"x": [0.5, 7.0]})\n'
    write("s.py", OWN + grid)
    assert refused(cli, *RUN) == "search: s.py:7: x = 7.0 is not from 0 to 1, as the space has it"
    write("s.py", OWN + grid.replace('"x"', '"lr"'))
    assert "s.py:7: the grid has no values for 'x', which the space asks for" in refused(cli, *RUN)
    write("s.py", OWN + grid.replace("7.0", "0.7"))
    assert "the grid's 'x' is nothing that varies in the space" in refused(cli, *RUN, "--set", "x=0.1")
    assert "the grid's 'x' is nothing that varies in the space" in refused(cli, "check", "s.py", "--set", "x=0.1")


def test_a_function_s_setting_is_fixed_in_its_range(cli: Cli, write: Callable[[str, str], Path]) -> None:
    own = "def space(trial):\n    return {'x': trial.suggest_float('x', 0, 1)}\n"
    write("s.py", f"{own}metric = 'score'\ndef train(config):\n    yield {{'score': config['x']}}\n")
    assert "x = 7 is not from 0 to 1" in refused(cli, *RUN, "--set", "x=7")


class Beyond(RandomSampler):
    """A sampler of one's own."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: BaseDistribution) -> Any:
        return self.value


def test_a_trial_whose_value_is_outside_its_range_fails() -> None:
    space = SearchSpace(x=Float(0, 1), n=Int(1, 3))
    driver, recorder = drive(3, space=space, sampler=RandomSampler())
    driver.study.enqueue_trial({"x": 5.0})
    driver.study.enqueue_trial({"n": 2.5})
    assert ask(driver).number == 2
    ends = [
        (TrialState.FAIL, f"user_code: {said}, as the space has it")
        for said in ("x = 5.0 is not from 0 to 1", "n = 2.5 is no integer from 1 to 3")
    ]
    assert [(trial.state, trial.user_attrs["error"]) for trial in driver.study.trials[:2]] == ends
    driver.catch_up()
    assert [end[1:] for end in recorder.ends] == ends


def test_a_sampler_of_ones_own_that_leaves_the_range() -> None:
    driver, _ = drive(2, space=SearchSpace(x=Float(0, 1), n=Int(1, 3)), sampler=Beyond(2))
    assert driver.next() is None
    assert {trial.user_attrs["error"] for trial in driver.study.trials} == {
        "user_code: x = 2 is not from 0 to 1, as the space has it"
    }
