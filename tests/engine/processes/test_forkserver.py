"""The fork server: real processes, forked, fed, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from live import until

from search.engine.processes import forkserver
from search.engine.processes.forkserver import DEATHS, Call, Died, ForkServer, fork, run_fork_server
from search.engine.ray import on_node
from search.errors import SearchError

HERE = "forked:"
FOUND = os.pathsep.join([str(Path(__file__).parent), *sys.path])
"""Where a server finds forked.py, and whatever this process finds."""


def server() -> Iterator[ForkServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", FOUND)
        with run_fork_server(("json", "numpy")) as made:
            yield made


fork_server = pytest.fixture(server, scope="module")
its_own = pytest.fixture(server)
"""For a test that kills it."""


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_children_are_forked_from_what_is_imported_and_draw_differently(fork_server: ForkServer) -> None:
    first, second = (fork(fork_server.address, HERE + "echo", "hi ") for _ in range(2))
    seen = [child.recv() for child in (first, second)]
    assert len({pid for pid, _, _, _ in seen}) == 2
    assert len({parent for _, parent, _, _ in seen}) == 1
    assert not any(torch for _, _, torch, _ in seen)
    assert seen[0][3] != seen[1][3]
    second.send("you")
    first.send("me")
    assert (first.recv(), second.recv()) == ("hi me", "hi you")


def test_a_child_ends_with_its_connection_whatever_it_does(fork_server: ForkServer) -> None:
    child = fork(fork_server.address, HERE + "sleep_long")
    pid = child.recv()
    assert alive(pid)
    child.close()
    until(lambda: not alive(pid), "the process's end")


def test_a_call_returns_with_its_progress(fork_server: ForkServer) -> None:
    seen: list[int] = []
    assert Call(fork_server.address, HERE + "count", 3).result(seen.append) == "done"
    assert seen == [0, 1, 2]


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [("search", SearchError, "no such file"), ("other", ValueError, "odd"), ("dies", Died, "was killed$")],
)
def test_a_call_raises_what_went_wrong(fork_server: ForkServer, kind: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Call(fork_server.address, HERE + "fail", kind).result(print)


def test_a_killed_child_is_an_end_of_file_and_the_next_one_works(fork_server: ForkServer) -> None:
    child = fork(fork_server.address, HERE + "sleep_long")
    os.kill(child.recv(), signal.SIGKILL)
    with pytest.raises(EOFError):
        child.recv()
    assert Call(fork_server.address, HERE + "count", 1).result(print) == "done"


def test_a_killed_server_is_replaced_and_what_it_forked_lives_on(its_own: ForkServer) -> None:
    servers, children = [], []
    for _ in range(DEATHS + 1):
        children.append(fork(its_own.address, HERE + "echo", "hi "))
        servers.append(children[-1].recv()[1])
        os.kill(servers[-1], signal.SIGKILL)
    assert len(set(servers)) == DEATHS + 1  # in a row, but each had forked something
    for child in children:
        child.send("you")
        assert child.recv() == "hi you"
    assert Call(its_own.address, HERE + "count", 1).result(print) == "done"
    assert its_own.gone == ""


def test_a_server_that_dies_again_and_again_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deadly.py").write_text("import os\nopen('starts', 'a').write('.')\nos._exit(7)\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), FOUND]))
    with run_fork_server(("deadly",)) as fork_server:
        until(lambda: fork_server.gone, "the server's end")
        assert len((tmp_path / "starts").read_text()) == DEATHS
        assert fork_server.gone == (
            "the server that forks training processes died 4 times in a row (status 7), and forked none in between; "
            "verbose= shows what it says"
        )
        with pytest.raises(Died, match="server"):
            fork(fork_server.address, HERE + "echo", "")


def test_a_server_that_cannot_be_started_again_is_given_up(
    its_own: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = fork(its_own.address, HERE + "echo", "")
    _, server, *_ = child.recv()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    os.kill(server, signal.SIGKILL)
    until(lambda: its_own.gone, "the server's end")
    assert "died (signal 9) and cannot be started again: [Errno 2] No such file" in its_own.gone
    child.send("you")
    assert child.recv() == "you"


def test_folder_server_and_children_are_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", FOUND)
    with run_fork_server() as fork_server:
        assert oct(fork_server.folder.stat().st_mode)[-3:] == "700"
        child = fork(fork_server.address, HERE + "echo", "")
        pid, server, *_ = child.recv()
    child.close()
    until(lambda: not alive(server) and not alive(pid), "the end of both")
    assert not fork_server.folder.exists()


def test_a_call_sees_the_gpu_that_its_caller_was_given(
    fork_server: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server started before Ray gave its worker a GPU."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setattr(on_node, "address_here", lambda: fork_server.address)
    assert on_node.call_here(HERE + "variable", ("CUDA_VISIBLE_DEVICES",)) == "3"
    assert Call(fork_server.address, HERE + "variable", "CUDA_VISIBLE_DEVICES").result(lambda *_: None) is None


@pytest.mark.parametrize(("patience", "left"), [(None, True), (0.5, False), (0.0, False)])
def test_a_child_gets_some_time_to_close_what_it_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float | None, left: bool
) -> None:
    """Its end may be that its connection is closed, or that the server ends; both give it the same time."""
    monkeypatch.setenv("PYTHONPATH", FOUND)
    with run_fork_server(patience=patience) as fork_server:
        logs = [str(tmp_path / name) for name in ("closed", "open")]
        first, second = (fork(fork_server.address, HERE + "open_something", patience, log) for log in logs)
        pids = [first.recv(), second.recv()]
        first.close()
    until(lambda: not any(map(alive, pids)), "the end of all")
    assert [Path(log).exists() for log in logs] == [left, left]
    second.close()


def test_where_ctrl_c_is_blocked_a_child_still_closes_what_it_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in all processes that Ray starts, and so in those of its actors."""
    monkeypatch.setenv("PYTHONPATH", FOUND)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with run_fork_server(patience=10) as fork_server:
            first = fork(fork_server.address, HERE + "open_something", None, str(tmp_path / "closed"))
            pid = first.recv()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    until(lambda: not alive(pid), "the end")
    assert (tmp_path / "closed").exists()
    first.close()


def test_a_second_ctrl_c_ends_what_is_still_being_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", FOUND)
    monkeypatch.setattr(forkserver, "_SOON", 0.1)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        signal.raise_signal(signal.SIGINT)

    with run_fork_server(say=say) as fork_server:
        child = fork(fork_server.address, HERE + "open_something", 1e4, str(tmp_path / "log"))
        pid = child.recv()
        os.kill(pid, signal.SIGSTOP)
    assert said == ["waiting until the training has closed what it opened; Ctrl-C ends it at once"]
    until(lambda: not alive(pid), "the process's end")
    child.close()


def test_a_killed_driver_leaves_no_process(tmp_path: Path) -> None:
    script = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from search.engine.processes.forkserver import fork, run_fork_server
with run_fork_server() as fork_server:
    child = fork(fork_server.address, "{HERE}echo", "")
    print(*child.recv()[:2], fork_server.folder, flush=True)
    time.sleep(1000)
"""
    environment = {**os.environ, "PYTHONPATH": FOUND}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment) as driver:
        assert driver.stdout is not None
        pid, server, folder = driver.stdout.readline().split()
        assert alive(int(pid))
        driver.kill()
    until(lambda: not alive(int(server)) and not alive(int(pid)), "the end of both")
    until(lambda: not Path(folder).exists(), "the folder's end")


def test_a_driver_that_is_killed_amid_the_servers_imports_is_noticed_at_once(tmp_path: Path) -> None:
    (tmp_path / "slow_to_import.py").write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    script = """
import sys, time
from search.engine.processes.forkserver import run_fork_server
with run_fork_server(["slow_to_import"], verbose=True) as fork_server:
    print(fork_server.folder, flush=True)
    time.sleep(1000)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), FOUND])}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment) as driver:
        assert driver.stdout is not None
        said = {driver.stdout.readline().strip(), driver.stdout.readline().strip()}
        folder = next(line for line in said if line.startswith("/"))
        (server,) = map(int, said - {folder})
        assert alive(server)
        driver.kill()
        began = time.monotonic()
        until(lambda: not alive(server) and not Path(folder).exists(), "the end of the server and its folder")
    assert time.monotonic() - began < 30


def test_a_call_whose_process_is_killed_may_be_tried_again(fork_server: ForkServer, tmp_path: Path) -> None:
    with pytest.raises(PermissionError, match="the function's own"):
        Call(fork_server.address, HERE + "die_first", str(tmp_path / "once"), tries=2).result(print)
    with pytest.raises(Died):
        Call(fork_server.address, HERE + "die_first", str(tmp_path / "again")).result(print)


@pytest.mark.parametrize(("seconds", "where"), [(0.4, "later"), (1000, "handing over")])
def test_an_interruption_waits_a_second_for_a_descriptor(
    fork_server: ForkServer, tmp_path: Path, seconds: float, where: str
) -> None:
    log = tmp_path / "log"
    child = fork(fork_server.address, HERE + "hand_over", seconds, str(log))
    child.recv()
    child.close()
    assert until(lambda: log.exists() and log.read_text(), "the interruption") == where
