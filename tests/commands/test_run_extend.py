"""A space that has changed: what differs, the command that begins a new study, and going on in the same one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cli

from search.analysis.view import StudyView
from search.reporting.sections import importance
from search.study.study import load_study

Write = Callable[[str, str], Path]
SPACE = """
    from optuna.samplers import TPESampler
    from search import Choice, Float, SearchSpace

    space = SearchSpace({settings})
    metric, trials, sampler = "score", {trials}, TPESampler(seed=1)

    def train(config):
        yield {{"score": -(config["x"] - 0.9) ** 2}}
"""
pytestmark = pytest.mark.usefixtures("sys_path")


def ran(cli: Cli, write: Write, settings: str, *words: object, trials: int = 3) -> tuple[int, str, str]:
    write("own.py", SPACE.format(settings=settings, trials=trials))
    return cli("run", "own.py", "--engine", "inline", *words)


def test_what_differs_is_said_with_the_whole_next_command(cli: Cli, write: Write) -> None:
    assert ran(cli, write, "x=Float(0.1, 0.5), k=Choice('a', 'b')")[0] == 0
    status, _, err = ran(cli, write, "x=Float(0.01, 1.0, log=True), k=Choice('a', 'b', 'c'), y=1", "--trials", 4)
    assert (status, err.count("\n")) == (2, 1)
    assert "k is Choice(a='a', b='b') there and Choice(a='a', b='b', c='c') here, " in err
    assert "x is Float(0.1, 0.5) there and Float(0.01, 1.0, log=True) here, y is not set there and 1 here" in err
    assert "--extend" not in err  # y was not there
    command = re.findall(r"`(search run .*?)`", err)[0]
    assert command == "search run own.py --engine inline --trials 4 --name own-2 --from own"
    assert cli(*shlex.split(command)[1:]).status == 0
    assert len(load_study("sqlite:///studies.db", "own-2").trials) == 4
    wider = "x=Float(0.01, 1.0, log=True), k=Choice('a', 'b', 'c'), y=1"
    again = ran(cli, write, wider, "--name=own", "--from=own-2", "--extend")[2]
    assert "`search run own.py --engine inline --name own-3 --from own` begins" in again


def test_a_wider_range_goes_on_in_the_same_study(cli: Cli, write: Write) -> None:
    assert ran(cli, write, "x=Float(0.1, 0.5), z=Float(0, 1)", trials=15)[0] == 0
    wide = "x=Float(0.1, 1.0), z=Float(0, 1)"
    refused = ran(cli, write, wide, trials=30)[2]
    assert "every trial of it is a point of this space: --extend goes on with it; `search run own.py" in refused
    assert ran(cli, write, wide, "--extend", trials=30)[0] == 0
    study = load_study("sqlite:///studies.db", "own")
    assert len(study.trials) == 30
    assert max(trial.params["x"] for trial in study.trials) > 0.5
    made = importance.section(StudyView(study))
    assert made is not None
    assert "Holm over 2 settings" in made.text  # also of the one that has two ranges
    assert ran(cli, write, wide, trials=30)[0] == 0  # it is the study's space now


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("x=Float(0.6, 0.7), k=Choice('a', 'b'), n=1", "3 for x, outside the new range"),
        ("x=Float(0.1, 0.5), k=Choice('a', 'b', 'c'), n=1", "3 for k, whose options may not change within a study"),
        ("x=Float(0.1, 0.5), k=Choice('a', 'b'), n=2", "3 for n, which was 1 and is 2"),
        ("x=Float(0.1, 0.5), k='a', n=1", "for k, "),
    ],
)
def test_what_is_no_point_of_the_space_is_counted(cli: Cli, once: Cli, write: Write, settings: str, says: str) -> None:
    assert ran(once, write, "x=Float(0.1, 0.5), k=Choice('a', 'b'), n=1")[0] == 0
    status, _, err = ran(cli, write, settings, "--extend")
    assert (status, err.count("\n")) == (2, 1)
    assert "--extend needs trials that are points of it, but of 3: " in err
    assert says in err
