"""The user's code that chooses trials, and what becomes of what it raises."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cli

pytestmark = [
    pytest.mark.usefixtures("sys_path"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore:.*[Tt]erminator.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*constraints_func.*:FutureWarning"),
]
OWN = """
import optuna
from optuna.samplers import BaseSampler, RandomSampler
from search import Float, SearchSpace
space = SearchSpace(x=Float(0, 1))
metric, trials = "score", 6
def train(config):
    yield {"score": config["x"]}
class Mine(BaseSampler):
    drawn = 0
    def infer_relative_search_space(self, study, trial):
        return {}
    def sample_relative(self, study, trial, search_space):
        return {}
    def sample_independent(self, study, trial, name, distribution):
        self.drawn += 1
        if self.drawn == 3:
            raise KeyError("nothing")
        return 0.5
"""
SWALLOWS = """
def space(trial):
    try:
        return {"x": trial.suggest_float("x", 0, 1)}
    except Exception:
        return {"x": 0.1}
"""


@pytest.mark.parametrize(
    "more",
    ["sampler = Mine()", "sampler = optuna.samplers.PartialFixedSampler({}, Mine())", SWALLOWS + "sampler = Mine()"],
)
def test_what_a_sampler_raises_ends_the_run(cli: Cli, write: Callable[[str, str], Path], more: str) -> None:
    write("s.py", OWN + more + "\n")
    done = cli("run", "s.py", "--engine", "inline")
    assert done.status == 1
    assert done.err.splitlines()[-1] == (
        "search: the study's sampler Mine failed: user_code: s.py:18: raise KeyError(\"nothing\"): KeyError: 'nothing'"
    )
    assert "FAILED" not in done.out
    assert "the report so far: reports/s.md; to go on once that is mended: search run s.py --engine inline" in done.out
    assert "| 1 " in Path("reports/s.md").read_text(encoding="utf-8")
    assert Path("reports/s.best.yaml").is_file()
    write("s.py", OWN + more.replace("Mine()", "RandomSampler()") + "\n")
    again = cli("run", "s.py", "--engine", "inline")
    assert (again.status, "interrupted trials that go on first: 1" in again.out) in ((0, True), (0, False))
    assert "[6/6]" in again.out


TERMINATOR = """
from optuna.terminator import TerminatorCallback, Terminator
callbacks = [TerminatorCallback(Terminator(min_n_trials=2))]
"""


def test_a_callback_of_optunas_that_raises_is_named_with_its_line(cli: Cli, write: Callable[[str, str], Path]) -> None:
    write("s.py", OWN + TERMINATOR)
    done = cli("run", "s.py", "--engine", "inline")
    assert done.status == 1
    said = "search: the study's callback TerminatorCallback failed: user_code: s.py:22: ValueError: Cross-validation"
    assert done.err.splitlines()[-1].startswith(said)
    assert "search/" not in done.err
    assert "the report so far: reports/s.md; to go on once that is mended: search run" in done.out
    assert Path("reports/s.best.yaml").is_file()


@pytest.mark.parametrize("what", ["sampler = Mine()", "callbacks = [lambda study, trial: sys.exit(0)]"])
def test_an_exit_ends_the_run_as_any_error_does(cli: Cli, write: Callable[[str, str], Path], what: str) -> None:
    exits = OWN.replace('raise KeyError("nothing")', 'sys.exit("enough")').replace(
        "import optuna", "import sys, optuna"
    )
    write("s.py", f"{exits}{what}\n")
    done = cli("run", "s.py", "--engine", "inline")
    assert done.status == 1
    assert re.search(
        r"search: the study's (sampler Mine|callback <lambda>) failed: user_code: s.py:\d+: .*SystemExit", done.err
    )
    assert "the report so far: reports/s.md" in done.out


def test_an_option_that_a_sampler_makes_up_fails_its_trial_by_name(cli: Cli, write: Callable[[str, str], Path]) -> None:
    own = OWN.replace("self.drawn == 3", "False").replace("return 0.5", "return 2")
    write("s.py", own.replace("x=Float(0, 1)", 'x=Choice("a", "b")').replace("Float", "Choice") + "sampler = Mine()\n")
    done = cli("run", "s.py", "--engine", "inline")
    assert done.out.count("x = 2 is not one of 'a', 'b', as the space has it") == 6, done.out


CONSTRAINED = OWN + "sampler = optuna.samplers.TPESampler(seed=1SEEN)\n"


def test_trials_without_the_constraints_of_the_sampler_are_not_mixed_with_those_that_have_them(
    cli: Cli, write: Callable[[str, str], Path]
) -> None:
    write("s.py", CONSTRAINED.replace("SEEN", ""))
    assert cli("run", "s.py", "--engine", "inline").status == 0
    write("s.py", CONSTRAINED.replace("SEEN", ", constraints_func=lambda trial: (0.0,)"))
    done = cli("run", "s.py", "--engine", "inline", "--trials", 5)
    assert done.status == 2
    assert "trial 0 and 5 others of the study 's' completed without the sampler's constraints" in done.err
    assert done.err.endswith("begin a new study with its best, --name NEW --from s\n")
    assert cli("run", "s.py", "--engine", "inline", "--name", "n", "--from", "s", "--trials", 4).status == 0
    assert cli("run", "s.py", "--engine", "inline", "--name", "n", "--trials", 5).status == 0
