"""A run on a real cluster on this machine: a head and workers, each with a folder of its own; nodes come and go."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from live import WAIT, Run, until
from optuna.trial import TrialState
from s3 import Store, server

from search.engine.processes.forkserver import HOME
from search.engine.processes.scratch import scratch
from search.engine.ray import auth, luggage
from search.engine.ray.patches import sigterm_left_alone
from search.errors import SearchError
from search.files import locations

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
SCRIPT = """
import search

space = search.SearchSpace(
    model="cnn", dataset="digits", subset=60, epochs=1, lr=search.Float(0.01, 0.3), step_size=1, gamma=0.1
)
search.run(space, name="called", trials=2, address={address!r}, run_dir={run_dir!r}, sealed=True)
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


@pytest.fixture(scope="module")
def grown(s3: Store) -> Iterator[Grown]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.environment.items():
            patch.setenv(name, value)
        with cluster("a", "b") as made:
            yield made


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


def lose_files(run: Run) -> int:
    """Take the space file from a node whose training process dies then. Returns the number of that process's trial.

    Another Ray node on that machine makes Ray unpack its own copy again, meanwhile.
    """
    number, epoch = next((t.number, t.user_attrs["epoch"]) for t in run.running() if "epoch" in t.user_attrs)
    process = Path("/proc") / str(epoch["pid"])
    own, rays = (process / "cwd").readlink(), Path(epoch["pwd"])
    assert own.name == HOME
    files = [(rays / name).read_bytes() for name in ("space.py", "helper.py")]
    for folder in (own, rays):
        shutil.rmtree(folder)
    own.mkdir()
    os.kill(epoch["pid"], signal.SIGKILL)
    rays.mkdir()
    for name, content in zip(("space.py", "helper.py"), files, strict=True):
        (rays / name).write_bytes(content)
    return int(number)


def test_a_run_trains_on_both_nodes_and_leaves_nothing_there(
    grown: Grown, folder: Callable[[str], Path], bucket: str
) -> None:
    path = gated(folder)
    run = grown.run(path, "--trials", "2")
    try:
        until(lambda: len(set(trained(run).values())) == 2, "epochs of two nodes")
        assert len(fork_servers(grown)) >= 2
        lost = lose_files(run)
        until(lambda: run.trials()[lost].user_attrs.get("attempts"), "the loss to be noticed")
        (path / "go").touch()
        assert run.process.wait(WAIT) == 0, run.output
        assert [trial.number for trial in run.trials() if trial.user_attrs.get("attempts")] == [lost]
        assert "no GPU, 2 nodes of a cluster, 2 trials side by side" in run.output
        assert [trial.state for trial in run.trials()] == [TrialState.COMPLETE] * 2
    finally:
        print(run.output)
        run.end()
    until(lambda: not fork_servers(grown), "the end of the fork servers")
    script = path / "script.py"
    script.write_text(SCRIPT.format(address=grown.ray.address, run_dir=bucket))
    called = grown.run(path, program=[sys.executable, str(script)])
    try:
        assert called.process.wait(WAIT) == 0, called.output
    finally:
        called.end()
    assert "no GPU, 2 nodes of a cluster" in called.output
    assert len(locations.place(f"{bucket}/called/weights").names()) == 1
    assert locations.place(f"{bucket}/called/checkpoints").names() == []


@pytest.mark.slow
def test_trials_of_a_lost_node_end_elsewhere_and_a_new_node_gets_some(
    grown: Grown, folder: Callable[[str], Path]
) -> None:
    path = gated(folder)
    run = grown.run(path)
    try:
        until(lambda: len(trained(run)) == 2, "epochs of two nodes")
        before = trained(run)
        assert set(before.values()) == {0, 1}
        (lost,) = [number for number, node in before.items() if node == 1]
        grown.lose("b")
        until(lambda: run.trials()[lost].user_attrs.get("attempts"), "the loss to be noticed")
        grown.add("c")
        until(lambda: 2 in trained(run).values(), "an epoch of the new node")
        (path / "go").touch()
        assert run.process.wait(WAIT) == 0, run.output
        trials = run.trials()
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
        assert all(len(trial.intermediate_values) == 3 for trial in trials)
        assert {trial.user_attrs["epoch"]["node"] for trial in trials} == {0, 2}
        assert [trial.number for trial in trials if trial.user_attrs.get("attempts")] == [lost]
        assert "Traceback" not in run.output, run.output
    finally:
        print(run.output)
        run.end()


@pytest.mark.slow
def test_a_run_waits_for_the_first_worker_and_for_the_next_after_the_only_one_is_lost(
    folder: Callable[[str], Path],
) -> None:
    """And ends in order after SIGTERM, though Ray blocks Ctrl-C in what it starts."""
    with cluster() as grown:
        path = gated(folder)
        run = grown.run(path)
        try:
            until(lambda: "no worker has joined the cluster yet; waiting" in run.output, "the run")
            grown.add("a")
            until(lambda: trained(run), "an epoch")
            grown.lose("a")
            grown.add("b")
            begin = time.monotonic()
            until(lambda: 1 in trained(run).values(), "an epoch of the next node")
            assert time.monotonic() - begin < 60
            assert re.search(r"^node \S+ (joined|is back); ", run.output, re.MULTILINE), run.output
            run.process.terminate()
            assert run.process.wait(30) == 143, run.output
        finally:
            print(run.output)
            run.end()
        until(lambda: not fork_servers(grown), "the end of the fork servers")


UNFIT = """
    from pathlib import Path
    from search import Float, SearchSpace

    (Path(__file__).parent / "data" / "secret").read_text()
    space = SearchSpace(model="cnn", dataset="digits", epochs=1, lr=Float(0.01, 0.3), step_size=1, gamma=0.1)
"""


@pytest.mark.slow
def test_a_node_that_lacks_something_is_named(grown: Grown, folder: Callable[[str], Path]) -> None:
    path = folder(UNFIT)
    (path / "data").mkdir()
    (path / "data" / "secret").touch()  # data do not travel
    run = grown.run(path)
    try:
        assert run.process.wait(WAIT) == 1, run.output
    finally:
        run.end()
    assert re.match(r"search: node [\d.]+: space\.py:5: ", run.output), run.output
    assert "FileNotFoundError" in run.output


@pytest.mark.slow
def test_a_node_that_does_not_reach_the_bucket_is_named(grown: Grown, folder: Callable[[str], Path]) -> None:
    path = folder(UNFIT.replace('(Path(__file__).parent / "data" / "secret").read_text()', ""))
    with server() as other:  # which the nodes know nothing of
        other.put("elsewhere", b"")
        run = grown.run(path, "--run-dir", "s3://elsewhere/x", **other.environment)
        try:
            assert run.process.wait(WAIT) == 1, run.output
        finally:
            run.end()
    line = run.output.splitlines()[-1]
    says = r"search: node [\d.]+: --run-dir s3://elsewhere/x: The specified bucket does not exist"
    assert re.fullmatch(says, line), run.output


def test_without_the_token_one_line_says_what_is_missing(
    grown: Grown, folder: Callable[[str], Path], tmp_path: Path
) -> None:
    run = grown.run(folder(GATED.replace(HERE, "")), RAY_AUTH_TOKEN_PATH="", HOME=str(tmp_path))
    try:
        assert run.process.wait(WAIT) == 2, run.output
    finally:
        run.end()
    assert "the cluster's token is needed: RAY_AUTH_TOKEN_PATH" in run.output
    assert "Traceback" not in run.output, run.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--address", "ray://head:10001"), "search submit SPACE --address http://HEAD:8265"),
        (("--address", "somewhere"), "write it as auto or HOST:PORT"),
        (("--address", "auto", "--engine", "inline"), "--engine inline does not use"),
        (("--address", "auto", "--gpus-per-trial", "auto"), "auto measures a GPU of this machine"),
    ],
)
def test_an_address_that_cannot_be_is_refused(
    words: tuple[str, ...], says: str, cli: Cli, write: Callable[[str, str], Path]
) -> None:
    write("space.py", GATED.replace(HERE, ""))
    result = cli("run", "space.py", *words)
    assert (result.status, says in result.err) == (2, True), result


def test_a_folder_that_is_too_large_to_travel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    (source / "runs").mkdir(parents=True)
    for name in ("space.py", "helper.py", "runs/large"):
        (source / name).write_bytes(bytes(100))
    os.mkfifo(source / "pipe")
    monkeypatch.setattr(luggage, "MOST", 200)
    there = luggage._gather(source, tmp_path / "there")
    assert sorted(path.name for path in there.iterdir()) == ["helper.py", "space.py"]
    (source / "weights.pth").write_bytes(bytes(100))
    with pytest.raises(SearchError, match="lie beside the space file"):
        luggage._gather(source, tmp_path / "again")
