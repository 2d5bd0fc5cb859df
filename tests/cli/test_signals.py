"""Signals to the command before and after a run: it says which, and its exit status has it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from live import Run, until


@pytest.mark.parametrize(("number", "word"), [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")])
def test_a_signal_while_the_space_file_runs_is_named(
    number: signal.Signals, word: str, tmp_path: Path, write: Callable[[str, str], Path]
) -> None:
    write("space.py", "import time\nfrom pathlib import Path\nPath('there').touch()\ntime.sleep(100)\n")
    run = Run(tmp_path)
    try:
        until((tmp_path / "there").exists, "the space file")
        run.process.send_signal(number)
        assert run.process.wait(60) == 128 + number
        assert run.output.splitlines()[-1] == f"search: {word}"
        assert "Traceback" not in run.output
    finally:
        run.end()
