"""Each trial of an own train() keeps which code made it: said on resume, marked in the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from conftest import Cli

from search.study.attributes import TrialRecord
from search.study.code import letters, ranges, versions
from search.study.study import load_study

SPACE = """
from search import Float, SearchSpace
space = SearchSpace(x=Float(0.0, 1.0))
metric = "score"
direction = "maximize"
def train(config):
    yield {"score": config["x"]}
"""
RUN = ("run", "space.py", "--engine", "inline", "--trials")


def test_a_change_is_said_and_the_report_says_who_made_what(cli: Cli, write: Callable[[str, str], Path]) -> None:
    write("space.py", SPACE)
    first = cli(*RUN, 2)
    assert first.status == 0
    assert "CODE" not in first.out
    write("space.py", SPACE + "# a comment\n")
    assert "code of train()" not in cli(*RUN, 3).out
    write("space.py", SPACE.replace('config["x"]}', 'config["x"] / 2}'))
    second = cli(*RUN, 5)
    assert "the code of train() changed since 3 of the earlier trials; the report says which" in second.out
    trials = load_study("sqlite:///studies.db", "space").trials
    assert list(versions(trials).values()) == [[0, 1, 2], [3, 4]]
    assert list(letters(trials).values()) == ["A", "B", "?"]
    page = Path("reports/space.md").read_text()
    assert "A made the trials 0 to 2; B made the trials 3 to 4. Rows of different codes" in page
    assert "CODE" in page
    content = json.loads(cli("report", "space", "--json").out)
    assert content["code"] == {TrialRecord(trials[0]).code: [0, 1, 2], TrialRecord(trials[4]).code: [3, 4]}


def test_numbers_as_ranges() -> None:
    assert ranges([7, 0, 1, 2, 5]) == "0 to 2, 5, 7"
