"""`search dashboard`: what it opens, where, and how it ends."""

from __future__ import annotations

import base64
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from live import listening, read, until
from optuna.study import create_study
from served import served

from search.errors import SearchError
from search.monitoring.guard import Secret
from search.monitoring.server import PORT, Server, Watching, is_loopback
from search.study.storage import open as storages
from search.study.storage.rdb import Storage


@pytest.fixture
def made() -> Storage:
    storage = storages.connect("sqlite:///studies.db")
    for name in ("first", "made"):
        create_study(storage=storage, study_name=name)
    assert isinstance(storage, Storage)
    return storage


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def children(pid: int) -> set[int]:
    of = {int(path.name): read(path / "stat").rpartition(")")[2].split() for path in Path("/proc").glob("[0-9]*")}
    return {child for child, fields in of.items() if fields and fields[1] == str(pid) and fields[0] != "Z"}


@pytest.mark.whole
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGKILL, -9)])
def test_it_says_where_and_leaves_nothing_behind(made: Any, tmp_path: Path, number: int, status: int) -> None:
    with served(tmp_path, "dashboard", "made", "--port", "0", "--tensorboard") as server:
        place = f"http://127.0.0.1:{server.port}"
        assert server.output.splitlines() == [
            f"dashboard    {place}/dashboard",
            f"made         {place}/dashboard/studies/2",
            f"TensorBoard  {place}/tensorboard/",
            "Ctrl-C ends it.",
        ]
        assert server.ask("/dashboard/studies/2").status == server.ask("/tensorboard/").status == 200
        readers = children(server.process.pid)
        assert readers  # TensorBoard's, of event files
        for pid in (server.process.pid, *readers):
            assert set(listening({pid})) == {"0100007F"}, pid
        assert server.end(number) == status
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in readers), "the end of TensorBoard's reader")
        assert len(server.output.splitlines()) == 4
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", server.port))


@pytest.mark.whole
def test_with_a_secret_no_other_process_answers_for_the_event_files(made: Any, tmp_path: Path) -> None:
    words = ("dashboard", "made", "--port", "0", "--tensorboard")
    with served(tmp_path, *words, env={"SEARCH_AUTH": "me:long-enough"}) as server:
        for who, status in ((None, 401), ("you:long-enough", 401), ("me:long-enough", 200)):
            said = {"Authorization": f"Basic {base64.b64encode(who.encode()).decode()}"} if who else {}
            assert server.ask("/tensorboard/data/runs", "GET", None, **said).status == status
        until(lambda: not children(server.process.pid), "the end of what an import has started")
        assert len(listening({server.process.pid})) == 1


def test_a_taken_port_is_named(cli: Cli, made: Any, taken: int) -> None:
    done = cli("dashboard", "--port", taken)
    assert (done.status, done.out) == (2, "")
    remedy = "--port names another, 0 takes any that is free"
    assert done.err == f"search: --port {taken} on 127.0.0.1: Address already in use; {remedy}\n"


def test_by_default_the_next_free_port_is_taken(made: Storage) -> None:
    servers = [Server(made, Watching()) for _ in range(2)]
    try:
        first, second = (int(server.address.rpartition(":")[2]) for server in servers)
        assert PORT <= first < second < PORT + 20
    finally:
        for server in servers:
            server.close()


def test_without_a_study_only_the_dashboard_is_named(made: Storage) -> None:
    server = Server(made, Watching(port=0, host="localhost"))
    server.close()
    assert server.addresses() == [f"dashboard  {server.address}/dashboard"]
    assert server.address.startswith("http://localhost:")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_network_needs_a_secret(cli: Cli, made: Storage, host: str) -> None:
    done = cli("dashboard", "--host", host, "--port", 0, "--read-only")
    assert done.status == 2
    assert done.err.startswith(f"search: --host {host} opens the dashboard, and whatever it may change, to a network")
    assert "--auth FILE or SEARCH_AUTH" in done.err
    server = Server(made, Watching(host="0.0.0.0", port=0, secret=Secret(None, "long-enough")))
    server.close()
    assert server.address.startswith(f"http://{socket.gethostname()}:")  # 0.0.0.0 is nowhere to go to


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("127.9.9.9", True), ("0.0.0.0", False), ("::", False)]
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_no_such_host() -> None:
    with pytest.raises(SearchError, match=r"^host=no\.such\.host\.invalid: "):
        is_loopback("no.such.host.invalid")


def test_an_unknown_study_and_a_missing_storage_are_named(cli: Cli, made: Any, tmp_path: Path) -> None:
    done = cli("dashboard", "maed")
    assert (done.status, done.out) == (2, "")
    assert done.err == "search: no study 'maed' in sqlite:///studies.db; did you mean 'made'?\n"
    done = cli("dashboard", "--storage", "sqlite:///nowhere.db")
    assert done.err == "search: no storage sqlite:///nowhere.db; --storage or SEARCH_STORAGE names another\n"
    assert not (tmp_path / "runs").exists()


def closed(connection: socket.socket) -> bool:
    """Whether the server has ended the connection."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@pytest.mark.whole
def test_slow_and_many_clients_hold_up_nobody(made: Any, tmp_path: Path) -> None:
    with served(tmp_path, "dashboard", "--port", "0", "--read-only") as server, ThreadPoolExecutor(40) as pool:
        slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]  # more than it has threads
        for each in slow:
            each.sendall(b"GET / HTTP/1.1\r\nHost: ")
        answers = list(pool.map(lambda _: server.ask("/api/studies").status, range(80)))
        assert answers == [200] * 80
        idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(300)]
        for path in ("/dashboard", "/api/studies"):
            assert server.ask(path).status == 200
        until(lambda: sum(map(closed, [*slow, *idle])) >= 200, "the oldest of them to go")
        for each in [*slow, *idle]:
            each.close()
        assert server.end(signal.SIGTERM) == 0
        assert server.output.splitlines()[-1] == "Ctrl-C ends it."  # of what waits nothing is said
    assert not (tmp_path / "runs").exists()  # who only looks makes no folder
