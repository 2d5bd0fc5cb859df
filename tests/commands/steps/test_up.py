"""`search up`: what it starts, that others cannot reach it, and that nothing of it stays."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import urllib.error
from pathlib import Path

import pytest
from conftest import Cli
from live import BIN, WAIT, ask, free_port, listening, loopback, read, session, until
from optuna.trial import FrozenTrial, TrialState
from served import Served, served

from search.engine.ray import patches
from search.errors import SearchError
from search.study.study import load_study

pytestmark = [
    pytest.mark.whole,
    pytest.mark.skipif(bool(patches.missing_for_jobs()), reason="ray[default] is not installed: this test did NOT run"),
]

SPACE = """
import time
from search import Float, SearchSpace

space = SearchSpace(x=Float(0, 1))
metric, direction, trials = "x", "maximize", 2

def train(config):
    for _ in range(3000):
        yield {"x": config["x"]}
        time.sleep(0.1)
"""


def test_what_it_starts_is_where_it_says_and_goes_with_its_end(tmp_path: Path) -> None:
    with served(tmp_path, "up", "--port", "0", "--jobs-port", str(free_port())) as server:
        folder = token(server).parent
        it_answers_whoever_has_the_token(server)
        it_listens_on_loopback_only(server)
        what_it_prints_hands_a_run_over(server)
        os.killpg(server.process.pid, signal.SIGINT)  # as a terminal does
        assert server.process.wait(WAIT) == 0, server.output
        until(lambda: not session(server.process.pid), "the end of every process")
    assert re.search(r"^raysubmit_\w+: told to stop; submitted again, it goes on$", server.output, re.MULTILINE)
    assert [trial.state for trial in trials(server)] == [TrialState.WAITING] * 2
    assert not folder.exists()


def token(server: Served) -> Path:
    return Path(re.findall(r"export RAY_AUTH_TOKEN_PATH=(\S+)", server.output)[0])


def it_answers_whoever_has_the_token(server: Served) -> None:
    assert server.ask("/dashboard/").status == server.ask("/tensorboard/").status == 200
    place = f"{server.address('Ray')}/api/version"
    assert b"ray_version" in ask(place, token(server).read_text())
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        ask(place)
    refused.value.close()


def it_listens_on_loopback_only(server: Served) -> None:
    heard = listening(set(session(server.process.pid)))
    assert len(heard) >= 6  # the dashboard, TensorBoard's reader, Ray's control store, raylet, dashboard and agents
    assert [address for address in heard if not loopback(address)] == []


def what_it_prints_hands_a_run_over(server: Served) -> None:
    (server.folder / "s.py").write_text(SPACE)
    lines = [line.strip().replace("SPACE", "s.py") for line in server.output.splitlines()]
    typed = [line for line in lines if line.startswith(("export", "search submit"))]
    assert len(typed) == 2
    shell = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SEARCH_"))}
    shell["PATH"] = f"{BIN}:{shell['PATH']}"
    said = subprocess.run(["sh", "-ec", "\n".join(typed)], cwd=server.folder, env=shell, capture_output=True, text=True)
    assert said.returncode == 0, said
    until(lambda: b'"s"' in server.ask("/api/studies").body, "the study in the dashboard")
    until(lambda: [bool(trial.last_step) for trial in trials(server)] == [True] * 2, "epochs")


def trials(server: Served) -> list[FrozenTrial]:
    try:
        return load_study(f"sqlite:///{server.folder}/studies.db", "s").get_trials()
    except SearchError:
        return []


def test_a_port_that_is_taken_is_one_line(cli: Cli) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = cli("up", "--port", 0, "--jobs-port", port)
    assert result.status == 2
    assert result.err == f"search: port {port}: Address already in use; another Ray may take jobs there\n"


@pytest.mark.slow
def test_a_killed_one_leaves_nothing(tmp_path: Path) -> None:
    with served(tmp_path, "up", "--port", "0", "--jobs-port", str(free_port())) as server:
        folder = token(server).parent
        assert read(folder / "token")
        server.end(signal.SIGKILL)
        until(lambda: not session(server.process.pid), "the end of every process")
        until(lambda: not folder.exists(), "the end of its folder")
