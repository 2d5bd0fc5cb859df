"""How forked processes end: noted by the server that forked them, and said of the trial whose worker died."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import search
from search.engine.processes.children import Children, how_it_ended

OWN = """
    import os, signal
    metric, trials = "score", 2
    def space(trial):
        return {"number": trial.number}
    def train(config):
        yield {"score": 1}
        if config["number"]:
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(3)
"""


@pytest.mark.parametrize(
    ("end", "how"),
    [
        (lambda: os._exit(0), "exit status 0"),
        (lambda: os._exit(7), "exit status 7"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL"),
    ],
    ids=["0", "7", "killed"],
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


def test_a_trial_whose_worker_dies_says_how(write: Callable[[str, str], Path]) -> None:
    with pytest.raises(search.SearchError, match="no trial completed"):
        search.run(write("own.py", OWN))
    errors = [trial.user_attrs["error"] for trial in search.load_study("own").trials]
    assert errors[0].startswith("node_lost: its worker process died 3 times, the last time by exit status 3")
    assert errors[1].startswith("node_lost: its worker process died 3 times, the last time by SIGKILL")
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL  # which Tune takes
