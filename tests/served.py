"""A `search dashboard` or `search up` in a process of its own, and how its pages are asked."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from live import BIN, until


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Served:
    """The verb in the working directory `folder`, from its start on."""

    def __init__(self, folder: Path, *words: str, env: Mapping[str, str] | None = None) -> None:
        self.folder, self._log = folder, folder / f"served-{len(list(folder.glob('served-*')))}"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [str(BIN / "search"), *words],
                cwd=folder,
                env={**os.environ, **(env or {})},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    def ready(self) -> Served:
        """Wait until it says that it can be asked."""

        def said() -> bool:
            assert self.process.poll() is None, self.output
            return "Ctrl-C ends it." in self.output

        until(said, "the server")
        return self

    def address(self, name: str = "dashboard") -> str:
        """What it printed for `name`."""
        (found,) = [line.split()[-1] for line in self.output.splitlines() if line.split()[:1] == [name]]
        return found

    @property
    def port(self) -> int:
        return int(self.address().rpartition(":")[2].partition("/")[0])

    def ask(
        self, path: str, method: str = "GET", body: bytes | Iterator[bytes] | None = None, **headers: str | None
    ) -> Answer:
        """Send one request from this machine; a header's name has _ for -, and None leaves out Host."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=240)
        said: dict[str, Any] = {"Host": f"127.0.0.1:{self.port}", "Accept-Encoding": "gzip"}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, bytes):
            said.setdefault("Content-Length", str(len(body)))
        elif body is not None:
            said["Transfer-Encoding"] = "chunked"
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in said.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(body, encode_chunked=not isinstance(body, bytes) and body is not None)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def end(self, number: int = signal.SIGINT) -> int:
        """Send it the signal, and wait: its exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=240)


@contextmanager
def served(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> Iterator[Served]:
    """The verb, ready to be asked; gone in the end."""
    server = Served(folder, *words, env=env)
    try:
        yield server.ready()
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait()
