"""The page on clusters, followed word by word: each of its commands runs here, in the page's order."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REPO, SPACES
from live import BIN, WAIT, ask, free_port, until

from search.engine.processes.scratch import scratch
from search.engine.ray import patches

PAGE = (REPO / "docs" / "cluster.md").read_text(encoding="utf-8")


class Terminals:
    """What is typed, with the page's folder and ports replaced by some that are free."""

    def __init__(self, folder: Path, private: Path) -> None:
        self._folder = folder
        self._ports = {"6379": str(free_port()), "8265": str(free_port())}
        self._private, self._exports = private, ""
        self.started: list[subprocess.Popen[str]] = []

    def words(self, text: str) -> str:
        for port, free in self._ports.items():
            text = text.replace(port, free)
        return text.replace("/tmp/head", str(self._private / "head"))

    def type(self, block: str, job: str = "") -> subprocess.Popen[str]:
        text = self.words(block).replace("JOB", job)
        text = text.replace("--head", f"--head --dashboard-port {self._ports['8265']} --object-store-memory 100000000")
        self._exports += "".join(line + "\n" for line in text.splitlines() if line.startswith("export "))
        jobs = f"http://127.0.0.1:{self._ports['8265']}"
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("SEARCH_", "RAY_"))}
        ours |= {"PATH": f"{BIN}:{ours['PATH']}", "RAY_API_SERVER_ADDRESS": jobs}
        process = subprocess.Popen(
            ["bash", "-ec", f"{self._exports}\n{text}"],
            cwd=self._folder,
            env=ours,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def done(self, block: str, job: str = "") -> str:
        said, _ = (process := self.type(block, job)).communicate(timeout=WAIT)
        assert process.returncode == 0, (block, said)
        return said


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    if patches.missing_for_jobs():
        pytest.skip("ray[default] is not installed: this test did NOT run")
    shutil.copytree(SPACES, tmp_path / "spaces")
    with scratch() as (private, _):
        made = Terminals(tmp_path, private)
        try:
            yield made
        finally:
            for process in reversed(made.started):
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate()


def says(process: subprocess.Popen[str], words: str, what: str) -> None:
    """Wait for `words` in what it prints."""
    assert process.stdout is not None
    lines = process.stdout
    until(lambda: words in lines.readline(), what)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_page_can_be_followed_word_by_word(terminals: Terminals, tmp_path: Path) -> None:
    up, token, head, one, two, joined, run, submit, follow = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    everything = terminals.type(up.replace("search up", "search up --jobs-port 8265"))
    says(everything, "Ctrl-C ends it.", "all of it on one machine")
    os.killpg(everything.pid, signal.SIGINT)
    assert everything.wait(WAIT) == 0

    terminals.done(token)
    serving = terminals.type(head)
    until(lambda: serving.poll() is None and _answers(terminals.words("127.0.0.1:8265")), "the head")
    workers = []
    for block in (one, two):
        workers.append(worker := terminals.type(block))
        says(worker, "Ray runtime started", "a worker to join")
    until(lambda: terminals.done(joined).count("1 node_") == 3, "both workers beside the head")
    assert "2 nodes of a cluster, 2 trials side by side" in terminals.done(run)
    assert (tmp_path / "reports" / "digits.md").is_file()

    job = re.search(r"^job +(\S+)$", terminals.done(submit), re.MULTILINE)
    assert job is not None
    logs, stop = follow.splitlines()
    following = terminals.type(logs, job[1])
    says(following, "[1/40]", "a trial of the job")
    terminals.done(stop, job[1])
    rest, _ = following.communicate(timeout=WAIT)
    assert "terminated; " in rest

    for process in (*workers, serving):  # Ctrl-C
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=WAIT)


def _answers(address: str) -> bool:
    try:
        ask(f"http://{address}/api/version")
    except urllib.error.HTTPError as refused:  # for want of a token
        refused.close()
        return bool(refused.code == 401)
    except OSError:
        return False
    return False
