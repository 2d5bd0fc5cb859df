"""Signals to the command before and after a run: it says which, and its exit status has it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cli


@pytest.mark.usefixtures("sys_path")
@pytest.mark.parametrize(("number", "word"), [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")])
def test_a_signal_while_the_space_file_runs_is_named(
    number: signal.Signals, word: str, cli: Cli, write: Callable[[str, str], Path]
) -> None:
    write("space.py", f"import os, time\nos.kill(os.getpid(), {number:d})\ntime.sleep(100)\n")
    done = cli("run", "space.py")
    assert done.status == 128 + number
    assert done.err.splitlines()[-1] == f"search: {word}"
    assert "Traceback" not in done.err
