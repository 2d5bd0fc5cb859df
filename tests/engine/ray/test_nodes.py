"""A run on a real cluster on this machine: a head and workers, each with a folder of its own; nodes come and go."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Cli
from grown import GATED, HERE, Grown, cluster, fork_servers, gated, trained
from live import WAIT, Run, until
from optuna.trial import TrialState
from s3 import Store, server

from search.engine.processes.forkserver import HOME
from search.files import locations

pytestmark = pytest.mark.whole

SCRIPT = """
import faulthandler
import search

faulthandler.dump_traceback_later(200)  # into the output, should it hang
space = search.SearchSpace(
    model="cnn", dataset="digits", subset=60, epochs=1, lr=search.Float(0.01, 0.3), step_size=1, gamma=0.1
)
search.run(space, name="called", trials=2, address={address!r}, run_dir={run_dir!r}, sealed=True)
"""


@pytest.fixture(scope="module")
def grown(s3: Store) -> Iterator[Grown]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.environment.items():
            patch.setenv(name, value)
        with cluster("a", "b") as made:
            yield made


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


def test_a_run_trains_on_both_nodes_and_leaves_nothing_there(grown: Grown, folder: Callable[[str], Path]) -> None:
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


def test_a_script_runs_on_both_nodes_and_keeps_its_run_in_a_bucket(
    grown: Grown, folder: Callable[[str], Path], bucket: str
) -> None:
    path = folder("")
    script = path / "script.py"
    script.write_text(SCRIPT.format(address=grown.ray.address, run_dir=bucket))
    called = grown.run(path, program=[sys.executable, str(script)])
    try:
        assert called.process.wait(WAIT) == 0, called.output
    finally:
        print(called.output)
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
