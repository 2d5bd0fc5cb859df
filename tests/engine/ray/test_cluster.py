"""Ray's start when it fails."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from live import WAIT, free_port, listening, loopback, session, until

from search.engine.ray import cluster, patches
from search.errors import ClusterFailed

pytestmark = pytest.mark.whole

FAILS = """
import sys
import ray
from ray._private.node import Node
from search.engine.ray import cluster
from search.engine.base import EngineFailed
from search.engine.processes.scratch import scratch

left, start = [0], Node.start_raylet

def start_raylet(*args, **options):
    start(*args, **options)
    left[0] -= 1
    if left[0] >= 0:
        raise OSError("the port is taken")

Node.start_raylet = start_raylet
for failures in map(int, sys.stdin):
    left[0] = failures
    try:
        with scratch() as (folder, _), cluster.running(folder):
            print(ray.get(ray.remote(lambda: "works").remote()), flush=True)
            sys.stdin.readline()
    except EngineFailed as error:
        print(error, flush=True)
"""


def test_a_start_that_fails_is_tried_once_more_and_leaves_nothing() -> None:
    command = [sys.executable, "-c", FAILS]
    pipe = subprocess.PIPE
    bare = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True, env=bare) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def servers() -> int:
            agents = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
            assert not [line for line in session(process.pid).values() if line.startswith(agents)]
            return sum(line.split(" ")[0].endswith("raylet") for line in session(process.pid).values())

        for failures, said in ((2, "Ray did not start: the port is taken"), (1, "works")):
            print(failures, file=process.stdin, flush=True)
            assert process.stdout.readline().strip() == said
            until(lambda: servers() == (failures == 1), "the end of the server whose start failed")  # noqa: B023 - at once
        # Ray reads whether it may listen beyond loopback when it is imported, here before search.
        heard = listening(set(session(process.pid)))
        assert len(heard) >= 3
        assert [address for address in heard if not loopback(address)] == []
        process.communicate(timeout=WAIT)
    assert process.returncode == 0
    until(lambda: not session(process.pid), "the end of every process")


def test_a_head_that_is_not_there_is_said_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "APART", 0.01)
    address = f"127.0.0.1:{free_port()}"
    nobody = f"address={address}: no cluster's head answers .*refused"
    with pytest.raises(ClusterFailed, match=nobody), cluster.joined(address, {}, verbose=False):
        pass
    with socket.create_server(("127.0.0.1", 0)) as there:
        cluster._check_answers(f"127.0.0.1:{there.getsockname()[1]}")
    cluster._check_answers("auto")


def test_an_agent_whose_raylet_is_gone_when_it_starts_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-S", "-c", patches._AGENT, str(tmp_path), "node", "metrics_agent_port=-1"]
    assert subprocess.run(command, timeout=20, check=False).returncode == 0
    assert not list(tmp_path.iterdir())


def test_whether_this_machine_has_a_node_is_seen_in_its_processes(tmp_path: Path) -> None:
    code = "from search.engine.ray.patches import node_here; print(node_here())"
    alone = ["unshare", "--pid", "--fork", "--mount-proc"]
    if os.getuid() or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("only root can have processes that see no others")
    words = ["raylet", "-c", "read end", "--gcs-address=127.0.0.1:1"]
    with subprocess.Popen(words, executable="/bin/sh", stdin=subprocess.PIPE):
        assert patches.node_here()
        assert subprocess.check_output([*alone, sys.executable, "-c", code], text=True).strip() == "False"
