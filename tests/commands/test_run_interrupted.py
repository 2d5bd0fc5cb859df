"""What a run that is interrupted says of what there is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cli

Write = Callable[[str, str], Path]
OWN = """
    import os
    import signal
    import time

    from search import Float, SearchSpace

    space = SearchSpace(x=Float(0.1, 1))
    metric, trials, calls = "score", 3, []

    def train(config):
        calls.append(config)
        if len(calls) > {after}:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        yield {{"score": config["x"] * 1e-9}}
"""
pytestmark = pytest.mark.usefixtures("sys_path")


def test_the_command_that_shows_the_report_so_far_is_said(cli: Cli, write: Write) -> None:
    write("own.py", OWN.format(after=1))
    status, out, _ = cli("run", "own.py", "--engine", "inline", "--storage", "sqlite:///mine.db")
    assert status == 130
    assert "interrupted; 1 of 3 trials are done; to go on: search run own.py" in out
    said = re.search(r"^the report so far: (.*)$", out, re.MULTILINE)
    assert said is not None
    assert said[1] == "search report own --storage sqlite:///mine.db"
    shown = cli(*shlex.split(said[1])[1:])
    assert shown.status == 0
    page = Path("reports/own.md").read_text(encoding="utf-8")
    assert re.search(r"Best score: \*\*\d(\.\d+)?e-(09|10)\*\*", page)  # and not 0.0000


def test_with_nothing_completed_there_is_nothing_to_show(cli: Cli, write: Write) -> None:
    write("own.py", OWN.format(after=0))
    status, out, _ = cli("run", "own.py", "--engine", "inline")
    assert status == 130
    assert "report so far" not in out
