"""A head that takes jobs: who may ask it, and runs that it does while nobody waits."""

from __future__ import annotations

import json
import re
import select
import socket
import socketserver
import stat
import subprocess
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import Cli
from live import ask, free_port, listening, loopback, read, until
from optuna.trial import FrozenTrial, TrialState

from search.engine.processes.scratch import scratch
from search.engine.ray import cluster, patches
from search.engine.ray.cluster import Head
from search.errors import SearchError
from search.study.study import load_study

pytestmark = pytest.mark.whole


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    if patches.missing_for_jobs():
        pytest.skip("ray[default] is not installed: this test did NOT run")
    with scratch() as (folder, _), another_ray(), cluster.head(folder, free_port()) as head:
        yield head
    assert not folder.exists()


@contextmanager
def another_ray() -> Iterator[None]:
    """What a job that looks among this machine's processes for its Ray would take for some; it picks any."""
    words = ["raylet", "-c", "read end", *(f"--gcs-address=127.0.0.1:{port}" for port in range(1, 20))]
    with subprocess.Popen(words, executable="/bin/sh", stdin=subprocess.PIPE):
        yield


def test_the_heads_token_is_its_owners_alone(head: Head) -> None:
    assert stat.filemode(head.token.stat().st_mode) == "-rw-------"
    assert stat.filemode(head.token.parent.stat().st_mode) == "drwx------"


def test_the_jobs_api_refuses_whoever_has_no_token(head: Head) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        ask(f"{head.jobs}/api/version")
    refused.value.close()
    assert json.loads(ask(f"{head.jobs}/api/version", head.token.read_text()))["ray_version"]


def test_a_head_listens_on_loopback_only(head: Head) -> None:
    folder = str(head.token.parent)
    heard = listening({int(p.name) for p in Path("/proc").glob("[0-9]*") if folder in read(p / "cmdline")})
    assert len(heard) >= 4  # the control store, the raylet, the dashboard and its agents
    assert [address for address in heard if not loopback(address)] == []


def test_a_port_that_is_taken_is_named(head: Head) -> None:
    port = int(head.jobs.rpartition(":")[2])
    with scratch() as (folder, _), pytest.raises(SearchError, match=f"port {port}: "), cluster.head(folder, port):
        pass


JOB = """
    import time
    from helper import pace
    from search import Float, SearchSpace

    space = SearchSpace(x=Float(0, 1))
    metric, direction, trials = "x", "maximize", 2

    def train(config):
        for _ in range(2):
            yield {"x": config["x"]}
            time.sleep(pace)
"""
SECRET = "postgresql://me:sesame@127.0.0.1:9/s?sslmode=disable"
SHOWN = "would stand in Ray's list of jobs and in its logs"


def submitted(cli: Cli, head: Head, space: Path, *words: object) -> str:
    result = cli("submit", space, "--in", space.parent / "job", "--address", head.jobs, *words)
    assert result.status == 0, result
    found = re.search(r"^job +(\S+)$", result.out, re.MULTILINE)
    assert found is not None, result
    return found[1]


def left(space: Path) -> list[FrozenTrial]:
    try:
        return load_study(f"sqlite:///{space.parent}/job/studies.db", "space").get_trials()
    except SearchError:  # not yet
        return []


@contextmanager
def fragile(address: str) -> Iterator[tuple[str, list[int]]]:
    """Another address of the same server, whose first two connections that follow a log are cut amid it; the cuts.

    The first is closed. The second is silent from then on, as after a cable is pulled.
    """
    host, port = address.removeprefix("http://").split(":")
    cuts: list[int] = []

    class Between(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((host, int(port))) as server:
                follows, answered = False, 0
                while True:
                    for end in select.select([self.request, server], [], [])[0]:
                        data = end.recv(65536)
                        if not data:
                            return
                        (server if end is self.request else self.request).sendall(data)
                        follows |= b"/logs/tail" in data
                        answered += len(data) if end is server else 0
                    if follows and len(cuts) < 2 and answered > 400 * (1 + len(cuts)):
                        cuts.append(answered)
                        while len(cuts) == 2 and self.request.recv(65536):
                            pass  # until the other side has had enough
                        return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Between) as between:
        between.daemon_threads = True
        thread = threading.Thread(target=between.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{between.server_address[1]}", cuts
        finally:
            between.shutdown()
            thread.join()


def test_a_submitted_run_is_followed_to_its_report_over_a_connection_that_is_cut(
    head: Head, cli: Cli, write: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its storage's URL in a file of the head, where the environment has one that would not do."""
    space = write("mine/space.py", JOB)
    write("mine/helper.py", "pace = 0.1")
    monkeypatch.setenv("SEARCH_STORAGE", SECRET)
    refused = cli("submit", space, "--in", "/x", "--address", head.jobs)
    assert (refused.status, f"--storage: the password {SHOWN}" in refused.err) == (2, True), refused
    file = write("head/storage.url", f"sqlite:///{space.parent}/job/studies.db")
    job = submitted(cli, head, space, "--trials", 12, "--storage-file", file)
    monkeypatch.setattr("search.engine.ray.jobs._SILENT", 2.0)
    with fragile(head.jobs) as (address, cuts):
        followed = cli("logs", job, "--follow", "--address", address)
    assert len(cuts) == 2
    assert (followed.status, followed.err) == (0, ""), followed  # no line of Ray's
    assert "[12/12] trial " in followed.out
    assert [trial.state for trial in left(space)] == [TrialState.COMPLETE] * 12
    assert (space.parent / "job" / "reports" / "space.md").is_file()
    assert followed.out == cli("logs", job, "--address", head.jobs).out
    listed = json.loads(cli("jobs", "--json", "--address", head.jobs).out)
    row = next(row for row in listed if row["job"] == job)
    assert (row["state"], row["space"], row["folder"]) == ("done", "space.py", str(space.parent / "job"))
    assert row["started"] <= row["ended"]
    assert job in cli("jobs", "--address", head.jobs).out
    assert "has ended before" in cli("stop", job, "--address", head.jobs).out
    assert [path for path in head.token.parent.rglob("*") if path.is_file() and b"sesame" in path.read_bytes()] == []
    assert b"sesame" not in ask(f"{head.jobs}/api/jobs/", head.token.read_text())


@pytest.mark.parametrize("variable", ["RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"])
def test_the_address_that_is_asked_for_goes_before_ray_s_variables(
    variable: str, head: Head, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    assert cli("jobs", "--address", head.jobs).status == 0
    monkeypatch.setenv(variable, head.jobs)
    assert cli("jobs", "--address", "http://127.0.0.1:9").status == 3


@pytest.mark.parametrize(
    ("content", "says"),
    [("", "it is empty"), ("ab" * 32, "its token is refused; it is that of another cluster"), (None, "cannot be read")],
)
def test_what_is_wrong_with_the_token_is_said(
    content: str | None, says: str, head: Head, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    result = cli("jobs", "--address", head.jobs)
    assert (result.status, result.err.count("\n")) == (2, 1), result
    assert f"RAY_AUTH_TOKEN_PATH={tmp_path}/token: " in result.err
    assert says in result.err


@pytest.mark.slow
def test_a_stopped_job_puts_its_trials_back(head: Head, cli: Cli, write: Callable[[str, str], Path]) -> None:
    space = write("mine/space.py", JOB)
    write("mine/helper.py", "pace = 1000")
    job = submitted(cli, head, space)
    until(lambda: any(trial.intermediate_values for trial in left(space)), "an epoch")
    assert f"{job} is told to stop" in cli("stop", job, "--address", head.jobs).out
    until(lambda: {trial.state for trial in left(space)} == {TrialState.WAITING}, "the trials to be put back")
    again = f"terminated; 0 of 2 trials are done; to go on: search submit {space} --in {space.parent / 'job'} "
    until(lambda: again in cli("logs", job, "--address", head.jobs).out, "the job's last word")
    said = time.monotonic()
    until(lambda: json.loads(cli("jobs", "--json", "--address", head.jobs).out)[0]["state"] == "stopped", "its end")
    assert time.monotonic() - said < 60  # the training is interrupted, though Ray blocks Ctrl-C in what it starts


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("submit", "space.py", "--in", "here"), "--in here: a job's folder is an absolute path"),
        (("submit", "space.py", "--in", "/x", "--engine", "inline"), "--engine: a job trains on its cluster"),
        (("submit", "space.py", "--in", "/x", "--run-dir", "/y"), "keeps everything in --in, or in a bucket"),
        (
            ("submit", "space.py", "--in", "/x", "--run-dir=s3://me:sesame@b/x"),
            "s3://me:***@...: no password",
        ),
        (("submit", "space.py", "--in", "/x", "--run-dir", "s3://b/x", "--engine", "inline"), "--engine: a job"),
        (("submit", "none.py", "--in", "/x", "--run-dir", "s3://b/x"), "none.py: no such space file"),
        (("submit", "none.py", "--in", "/x"), "none.py: no such space file"),
        (("submit", "space.py", "--in", "/x", "--storage-file", "s.url"), "reads it on the cluster's head"),
        (("submit", "space.py", "--in", "/x", "--storage", SECRET), f"--storage: the password {SHOWN}"),
        (("submit", "space.py", "--in", "/x", f"--storage={SECRET}&x=1"), f"--storage: the password {SHOWN}"),
        (("submit", "space.py", "--in", "/x", "--notify", "json://me:sesame@h"), f"--notify: the address {SHOWN}"),
        (("logs", "none", "--address", "HEAD"), "there is no job 'none'"),
        (("stop", "none", "--address", "HEAD"), "there is no job 'none'"),
        (
            ("logs", "none", "--address", "http://127.0.0.1:9"),
            "--address http://127.0.0.1:9: no cluster's head answers",
        ),
        (("logs", "none", "--address", "head:8265"), "write it as http://HEAD:8265"),
    ],
)
def test_what_no_head_can_do_is_refused_in_one_line(
    words: tuple[str, ...], says: str, head: Head, cli: Cli, write: Callable[[str, str], Path]
) -> None:
    write("space.py", JOB.replace("from helper import pace", ""))
    result = cli(*(head.jobs if word == "HEAD" else word for word in words))
    assert result.status == (3 if "answers" in says else 2), result
    assert says in result.err
    assert "sesame" not in result.err
    assert result.err.count("\n") == 1
