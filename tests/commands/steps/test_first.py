"""A new study begins with what the other studies of its storage know, and says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from search.study import study as studies
from search.study.attributes import StudyRecord, TrialRecord

pytestmark = pytest.mark.usefixtures("sys_path")
Write = Callable[[str, str], Path]
RUN = ("run", "space.py", "--engine", "inline")
TEXT = """
from search import Choice, Float, SearchSpace
space = SearchSpace(x=Float(0, 10), y=Float(0, 10), kind=Choice("plain", "odd"))
metric, trials = "score", 8
{more}
def train(config):
    for epoch in range(1, 6):
        yield {{"score": epoch - {sign}abs(config["x"] - 3)}}
"""


def study(name: str) -> Any:
    return studies.load_study("sqlite:///studies.db", name)


def promised(name: str) -> list[Any]:
    return [TrialRecord(trial).learnt for trial in study(name).get_trials()]


@pytest.fixture
def old(once: Any, write: Write) -> None:
    """A study whose points are always the same."""
    seeded = "from optuna.samplers import RandomSampler\nsampler = RandomSampler(1)"
    write("space.py", TEXT.format(more=seeded, sign=""))
    status, out, _ = once(*RUN, "--name", "old", "--trials", 24)
    assert status == 0
    assert "learns from" not in out  # there is nothing else
    write("space.py", TEXT.format(more="", sign=""))


@pytest.mark.usefixtures("old")
def test_a_new_study_learns_once_says_from_which_and_the_report_says_what_it_gave(cli: Any) -> None:
    status, out, _ = cli(*RUN, "--name", "new")
    assert status == 0
    said = "learns from 1 earlier study, old: 4 points go first, each before a random one; --cold begins without"
    assert said in out.splitlines()
    assert promised("new")[:8] == [["old"], None] * 4
    assert StudyRecord(study("new")).learnt == ["old"]
    first = study("new").get_trials()[0]
    assert abs(first.params["x"] - 3) < 2
    report = Path("reports/new.md").read_text(encoding="utf-8")
    assert "Learnt from earlier studies: old. They promised" in report
    status, out, _ = cli(*RUN, "--name", "new", "--trials", 16)  # goes on, with its queue and nothing more
    assert status == 0
    assert "learns from" not in out
    assert sum(names == ["old"] for names in promised("new")) == 4
    assert len(study("new").get_trials()) == 16
    assert study("new").get_trials()[11].state.is_finished()


@pytest.mark.usefixtures("old")
def test_cold_on_a_study_that_has_learnt_is_answered(cli: Any) -> None:
    assert cli(*RUN, "--name", "new", "--trials", 3).status == 0
    status, out, _ = cli(*RUN, "--name", "new", "--trials", 4, "--cold")
    assert status == 0
    said = "--cold is for a new study: this one has learnt already, and 2 points of that go on"
    assert said in out.splitlines()


@pytest.mark.usefixtures("old")
def test_that_no_earlier_study_counts_is_said_with_the_reasons(cli: Any, write: Write) -> None:
    write("space.py", TEXT.format(more="", sign="").replace("Float(0, 10)", "Float(100, 110)"))
    status, out, _ = cli(*RUN, "--name", "far")
    assert status == 0
    assert "learns from no earlier study; left out: 1 of ranges far from these" in out.splitlines()


@pytest.mark.usefixtures("old")
@pytest.mark.parametrize(
    ("words", "more"),
    [
        (("--cold",), ""),
        (("--from", "old"), ""),
        (
            (),
            "from optuna.samplers import GridSampler\nsampler = GridSampler(dict(x=[1.0, 2.0], y=[1.0], kind=['odd']))",
        ),
        ((), "from optuna.samplers import TPESampler\nsampler = TPESampler(seed=1)"),
        ((), "direction = 'minimize'"),
    ],
    ids=["cold", "from", "grid", "seeded", "direction"],
)
def test_some_studies_learn_nothing(cli: Any, write: Write, words: tuple[str, ...], more: str) -> None:
    write("space.py", TEXT.format(more=more, sign=""))
    status, out, _ = cli(*RUN, "--name", "new", "--trials", 2, *words)
    assert status == 0
    assert "learns from" not in out
    assert promised("new") == [None] * len(promised("new"))
    assert StudyRecord(study("new")).learnt == []
    if "Grid" in more:
        assert sorted(trial.params["x"] for trial in study("new").get_trials()) == [1.0, 2.0]


@pytest.mark.usefixtures("old")
def test_studies_that_the_first_trials_contradict_are_dropped_and_that_is_said(cli: Any, write: Write) -> None:
    write("space.py", TEXT.format(more="", sign="-"))  # the farther from 3, the better
    status, out, _ = cli(*RUN, "--name", "new", "--trials", 14)
    assert status == 0
    assert "the first trials contradict old: what it alone promised is not tried" in out
    trials = study("new").get_trials()
    freed = [trial for trial in trials if TrialRecord(trial).learnt == []]
    assert freed
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in freed)
    assert "went to the sampler instead" in Path("reports/new.md").read_text(encoding="utf-8")
