"""How forked processes end, noted by the server that forked them; tests/engine/own/test_ends.py has what is said."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from search.engine.processes.children import Children, how_it_ended


@pytest.mark.parametrize(
    ("end", "how"),
    [
        (lambda: os._exit(0), "exit status 0"),
        (lambda: os._exit(7), "exit status 7"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL"),
        (lambda: os.kill(os.getpid(), 40), "signal 40"),
    ],
    ids=["0", "7", "killed", "realtime"],
)
def test_the_end_of_a_process_is_noted(tmp_path: Path, end: Callable[[], None], how: str) -> None:
    children = Children(tmp_path)
    if (pid := os.fork()) == 0:
        end()
    children.add(pid)
    os.waitid(os.P_PIDFD, children.running[0], os.WEXITED | os.WNOWAIT)
    children.reap()
    assert children.running == []
    assert how_it_ended(str(tmp_path / "fork-server"), pid) == how


def test_of_another_servers_process_nothing_is_said(tmp_path: Path) -> None:
    assert how_it_ended(str(tmp_path / "fork-server"), 1) == ""
