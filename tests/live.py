"""A `search run` in a session of its own, watched from outside."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.errors import SearchError
from search.study.study import load_study

BIN = Path(sys.executable).parent
CORES = len(os.sched_getaffinity(0))
WAIT = 240.0
"""Seconds, for whatever must happen on a machine that may be busy."""


def until(ready: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + WAIT
    while not (found := ready()):
        assert time.monotonic() < deadline, f"in vain waited for {what}"
        time.sleep(0.1)
    return found


class Run:
    """A `search run` in a session of its own, as in a terminal; whatever it starts belongs to that session."""

    def __init__(self, folder: Path, *words: str, program: Sequence[str] = (), **more: str) -> None:
        """`program`: in place of ``search``. `more`: the environment's."""
        self.folder = folder
        self._study: Study | None = None
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("SEARCH_", "OMP_", "RAY_"))}
        with (folder / "output").open("w") as output:
            self.process = subprocess.Popen(
                [*(program or [str(BIN / "search")]), "run", "space.py", *words],
                cwd=folder,
                env=ours | more,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text()

    def trials(self) -> list[FrozenTrial]:
        """As they are at this moment. The storage is opened once: that takes sixty times as long as to read it."""
        if self._study is None:
            with suppress(SearchError):  # not yet
                self._study = load_study(f"sqlite:///{self.folder}/studies.db", "space")
        return self._study.get_trials() if self._study is not None else []

    def running(self) -> list[FrozenTrial]:
        return [trial for trial in self.trials() if trial.state == TrialState.RUNNING]

    def started(self) -> bool:
        assert self.process.poll() is None, self.output
        return "side by side" in self.output

    def alive(self) -> dict[int, str]:
        """The processes of the session that run, with their command lines."""
        return session(self.process.pid)

    def temp(self) -> set[Path]:
        """The folders that Ray's processes work in."""
        return {Path(found) for found in re.findall(r"/tmp/search-ray-\w+", " ".join(self.alive().values()))}

    def end(self) -> None:
        """Leave nothing, whatever the test found."""
        for pid in self.alive():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()


def session(leader: int) -> dict[int, str]:
    """The processes that run in the session of the process `leader`, with their command lines."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        fields = read(process / "stat").rpartition(")")[2].split()
        if fields and fields[0] not in "ZX" and int(fields[3]) == leader:
            found[int(process.name)] = read(process / "cmdline").replace("\0", " ")
    return found


def read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def free_port() -> int:
    """A TCP port of loopback that nobody listens on, and that the kernel gives to nobody who asks for any."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def ask(url: str, token: str | None = None) -> bytes:
    """What the server of this machine at `url` answers; through no proxy. Raises urllib's errors."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with direct.open(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return bytes(answer.read())


def listening(pids: Iterable[int]) -> list[str]:
    """The addresses, in hexadecimal, of the TCP sockets on which the processes listen."""
    return [address.partition(":")[0] for address in _listening(pids)]


def listening_ports(pids: Iterable[int]) -> set[int]:
    """The TCP ports at which the processes listen."""
    return {int(address.rpartition(":")[2], 16) for address in _listening(pids)}


def _listening(pids: Iterable[int]) -> list[str]:
    mine = {link[8:-1] for pid in pids for link in _descriptors(pid) if link.startswith("socket:[")}
    rows = [line.split() for name in ("tcp", "tcp6") for line in read(Path("/proc/net") / name).splitlines()[1:]]
    return [row[1] for row in rows if row[3] == "0A" and row[9] in mine]


def _descriptors(pid: int) -> Iterator[str]:
    """What the open files of a process are; what is closed while they are read is left out."""
    with suppress(OSError):  # the process has ended
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                yield str(descriptor.readlink())


def loopback(address: str) -> bool:
    """Whether an address of `listening` is reached from this machine only."""
    return (
        address.endswith("7F") if len(address) == 8 else address in (f"{0:024x}01000000", f"{0:016x}FFFF00000100007F")
    )
