"""A cluster of Ray's on this machine, whose workers tests add and take away, and a space that waits there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from live import Run

from search.engine.processes.scratch import scratch
from search.engine.ray import auth
from search.engine.ray.patches import sigterm_left_alone

HERE = "from helper import here, node"
GATED = """
    import os, pickle, time
    from enum import Enum
    from helper import here, node
    from search import Float, SearchSpace

    class Colour(Enum):
        RED = 1

    space = SearchSpace(x=Float(0, 1), colour=Colour.RED)
    metric, direction, trials = "x", "maximize", 6

    def train(config):
        assert pickle.loads(pickle.dumps(config["colour"])) is Colour.RED
        for epoch in range(3):
            while epoch and not (here / "go").exists():
                time.sleep(0.05)
            yield {"x": config["x"], "node": node(), "pid": os.getpid(), "pwd": os.environ["PWD"]}
"""
HELPER = """
import os
from pathlib import Path
here = Path({folder!r})
def node():
    "0, 1, 2 for the node whose folder its workers started in."
    return next(number for number, name in enumerate("abc") if f"/{{name}}/session" in os.environ["PWD"])
"""


class Grown:
    """A head without room for trials, and workers that are added and taken away."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster  # late: its import takes a second

        self._folder, self.token = folder, auth.new_token(folder)
        self.workers: dict[str, Any] = {}
        with self._here(), pytest.MonkeyPatch.context() as patch:
            # Cluster writes its address there, into a folder that it does not make.
            patch.setenv("RAY_TMPDIR", str(folder))
            (folder / "ray").mkdir()
            head = {"num_cpus": 0, "temp_dir": str(folder / "h"), "include_dashboard": False}
            self.ray = Cluster(initialize_head=True, head_node_args=head)

    @contextmanager
    def _here(self) -> Iterator[None]:
        """A node is started from this process, whose signals stay its own."""
        with auth.token_required(self.token), sigterm_left_alone():
            yield

    def add(self, name: str) -> None:
        with self._here():
            self.workers[name] = self.ray.add_node(num_cpus=1, temp_dir=str(self._folder / name))

    def lose(self, name: str) -> None:
        self.ray.remove_node(self.workers.pop(name), allow_graceful=False)

    def run(self, folder: Path, *words: str, program: Sequence[str] = (), **environment: str) -> Run:
        key = {"RAY_AUTH_TOKEN_PATH": str(self.token)}
        return Run(folder, "--address", self.ray.address, *words, program=program, **(key | environment))


@contextmanager
def cluster(*workers: str) -> Iterator[Grown]:
    with scratch() as (folder, _):
        made = Grown(folder)
        try:
            for name in workers:
                made.add(name)
            yield made
        finally:
            made.ray.shutdown()


def trained(run: Run) -> dict[int, float]:
    """The nodes of the trials that run and have reported."""
    return {t.number: t.user_attrs["epoch"]["node"] for t in run.running() if "epoch" in t.user_attrs}


def gated(folder: Callable[[str], Path]) -> Path:
    """A folder with a space whose trials end once it has the file `go`."""
    path = folder(GATED)
    (path / "helper.py").write_text(HELPER.format(folder=str(path)))
    return path


def fork_servers(grown: Grown) -> list[Path]:
    """The processes on the cluster's nodes that others are forked from."""
    key = f"RAY_AUTH_TOKEN_PATH={grown.token}".encode()

    def of_the_cluster(process: Path) -> bool:
        try:
            return b"search.engine.processes.forkserver" in (process / "cmdline").read_bytes() and (
                key in (process / "environ").read_bytes()
            )
        except OSError:
            return False

    return [process for process in Path("/proc").glob("[0-9]*") if of_the_cluster(process)]
