"""What a run that is interrupted says of what there is."""

from __future__ import annotations

import re
import shlex
import signal
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


def test_a_loader_s_handler_of_children_does_not_raise_in_our_code(cli: Cli, write: Write) -> None:
    """SIGTERM that a whole group gets, as `scancel` sends it, ends the workers of a DataLoader, too."""
    text = """
        import os
        import signal

        from search import Float, SearchSpace

        space = SearchSpace(x=Float(0, 1))
        metric, trials = "score", 3

        def handler(*_):
            raise RuntimeError("DataLoader worker is killed by signal: Terminated")

        def train(config):
            signal.signal(signal.SIGCHLD, handler)
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os.kill(os.getpid(), signal.SIGCHLD)
            yield {"score": config["x"]}
        """
    before = signal.getsignal(signal.SIGCHLD)
    try:
        write("own.py", text)
        status, out, err = cli("run", "own.py", "--engine", "inline")
        assert (status, err) == (143, "")
        assert "terminated; 0 of 3 trials are done; to go on: search run own.py" in out
        assert "closing" not in out
    finally:
        signal.signal(signal.SIGCHLD, before)
