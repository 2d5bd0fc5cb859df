"""A cluster over several machines, each a namespace of its own: what it is made of is killed, cut off, added."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live import WAIT, until
from machines import Machine, Room, room
from optuna.trial import FrozenTrial, TrialState
from postgres import Postgres, server
from soaking import record

from search.study.study import load_study

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]

SPACE = """
import socket, time
from search import Float, SearchSpace

space = SearchSpace(x=Float(0, 1))
metric, direction, trials = "x", "maximize", 200

def train(config):
    for epoch in range(12):
        time.sleep(0.5)
        yield {"x": config["x"] + 0.001 * epoch, "host": socket.gethostname()}
"""
WORKER = (
    "while true; do ray start --address {head}:6379 --num-cpus {cpus} --node-ip-address {own} --block; sleep 2; done"
)
HEAD = (
    "ray start --head --port 6379 --num-cpus 0 --node-ip-address {own} --dashboard-host {own} "
    "--temp-dir /tmp/ray --disable-usage-stats --block"
)


class Cluster:
    """A head, two workers, and a machine on which the run is started; PostgreSQL on the network they share."""

    def __init__(self, room: Room, postgres: Postgres) -> None:
        self.room, self.postgres = room, postgres
        self.token = room.shared / "token"
        self.token.write_text("a-token-of-the-test-" + "x" * 30)
        self.token.chmod(0o600)
        self.key = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token), "PYTHONWARNINGS": "ignore"}
        self.head = room.add("head")
        self.start_head()
        self.a, self.b = self.worker("a"), self.worker("b")
        self.d = self.worker("d", cpus=0)
        until(lambda: self.nodes() == 4, "the nodes")
        url = self.postgres.database("cluster")
        self.url = url.replace("127.0.0.1", room.address)
        self.runs = 0
        self.folder = self.d.home / "work"
        self.folder.mkdir()
        (self.folder / "space.py").write_text(SPACE)

    def start_head(self) -> None:
        self.head.start(HEAD.format(own=self.head.address), "ray", self.key)
        until(lambda: "Ray runtime started" in self.head.said("ray"), "the head")

    def worker(self, name: str, cpus: int = 2) -> Machine:
        machine = self.room.add(name)
        machine.start(WORKER.format(head=self.head.address, cpus=cpus, own=machine.address), "ray", self.key)
        return machine

    def nodes(self) -> int:
        said = self.head.do(f"ray status --address {self.head.address}:6379", self.key)
        return said.partition("Pending:")[0].count("1 node_")

    def start(self) -> Any:
        """The run, on the machine of its own."""
        self.runs += 1
        words = f"search run space.py --address {self.head.address}:6379 --trial-timeout 5m --notify json://127.0.0.1:9"
        return self.d.start(f"cd {self.folder} && exec {words}", "run", self.key | {"SEARCH_STORAGE": self.url})

    def trials(self) -> list[FrozenTrial]:
        return load_study(self.url.replace(self.room.address, "127.0.0.1"), "space").get_trials()

    def done(self) -> int:
        return sum(trial.state.is_finished() for trial in self.trials())

    def more(self, trials: int) -> None:
        """Wait until so many more have ended."""
        wanted = self.done() + trials
        until(lambda: self.done() >= wanted, f"{trials} more trials")

    @property
    def said(self) -> str:
        return self.d.said("run")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with room() as made, server() as postgres:
        postgres.listen(made.address)
        found = Cluster(made, postgres)
        yield found
        print(found.said)


def test_nodes_storage_and_head_are_lost_and_every_trial_is_right(cluster: Cluster) -> None:
    run = cluster.start()
    until(lambda: "side by side" in cluster.said, "the run")
    faults = [kill, cut_short, cut_long, add, restart_storage, kill_head]
    cluster.more(6)
    for fault in faults[:-1]:
        fault(cluster)
        assert run.poll() is None, cluster.said
        cluster.more(6)
    kill_head(cluster)
    assert run.wait(WAIT) == 3, cluster.said
    assert f"the cluster's head at {cluster.head.address}:6379 has not answered for" in cluster.said
    assert "; to go on: search run space.py --address" in cluster.said
    assert "the notification by json://... could not be sent" in cluster.said  # nobody listens there
    assert "Traceback" not in cluster.said
    cluster.start_head()
    until(lambda: cluster.nodes() == 5, "the nodes, which come by themselves")
    assert cluster.start().wait(1200) == 0, cluster.said
    trials = cluster.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 200
    assert all(list(trial.intermediate_values) == [*range(1, 13)] for trial in trials)
    record(
        "a cluster of five machines: node killed, cut for 20 s and 120 s, added, storage restarted, head killed",
        "each a network namespace with processes and a /tmp of its own; PostgreSQL beside them",
        len(faults),
        f"no trial of 200, none doubled; {sum(bool(trial.user_attrs.get('attempts')) for trial in trials)} tried again",
    )


def kill(cluster: Cluster) -> None:
    assert cluster.a.kill("raylet")
    says(cluster, f"node {cluster.a.address} lost; ")
    says(cluster, f"node {cluster.a.address} is back; trials that fit there: 2")


def cut_short(cluster: Cluster) -> None:
    cluster.b.cut()
    time.sleep(20)
    cluster.b.mend()


def cut_long(cluster: Cluster) -> None:
    before = cluster.said.count(f"node {cluster.b.address} is back")
    cluster.b.cut()
    time.sleep(120)
    cluster.b.mend()
    until(lambda: cluster.said.count(f"node {cluster.b.address} is back") > before, "the node")


def add(cluster: Cluster) -> None:
    cluster.worker("c")
    says(cluster, "node 10.77.0.5 joined; trials that fit there: 2")


def restart_storage(cluster: Cluster) -> None:
    with cluster.postgres.away(10):
        pass
    says(cluster, " answers again, after ")


def kill_head(cluster: Cluster) -> None:
    assert cluster.head.kill("gcs_server")
    cluster.head.kill("raylet")


def says(cluster: Cluster, words: str) -> None:
    until(lambda: words in cluster.said, words)


def test_who_has_no_token_runs_nothing(cluster: Cluster) -> None:
    """A machine of the same network asks at every open port of every machine."""
    stranger = cluster.room.add("stranger")
    shutil.copy(Path(__file__).with_name("stranger.py"), stranger.home)
    targets = {name: machine for name, machine in cluster.room.machines.items() if machine is not stranger}
    for name, machine in targets.items():
        listens = machine.do("ss -Htln").splitlines()
        ports = sorted({int(line.split()[3].rpartition(":")[2]) for line in listens if "127.0.0.1" not in line})
        said = stranger.do(f"python stranger.py {machine.address} {' '.join(map(str, ports))}", timeout=600)
        print(name, said)
        assert "RAN" not in said
