"""Machines that are none: network namespaces on one bridge, each with processes and a /tmp of its own. Needs root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from conftest import REPO
from live import BIN, read

BRIDGE = "search-br"
NETWORK = "10.77.0"


def why_not() -> str:
    """Why there can be no such machines here, or nothing."""
    if os.geteuid() != 0:
        return "network namespaces need root: this test did NOT run"
    if not all(map(shutil.which, ("ip", "nsenter", "unshare"))):
        return "iproute2 and util-linux are not installed: this test did NOT run"
    if Path("/tmp") in REPO.parents:
        return "this checkout lies in /tmp, of which each machine has its own: this test did NOT run"
    made = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], check=False, capture_output=True)
    return "" if made.returncode == 0 else "this machine allows no namespaces: this test did NOT run"


class Machine:
    """One of them. Its home is `home`, which the others see, too; what it writes to /tmp they do not."""

    def __init__(self, name: str, number: int, shared: Path) -> None:
        self.name, self.address, self.shared = name, f"{NETWORK}.{number}", shared
        self.home = shared / name
        self.home.mkdir()
        inside = f"hostname {name}; mount -t tmpfs -o mode=1777 tmpfs /tmp; exec sleep infinity"
        words = ["unshare", "--net", "--mount", "--pid", "--uts", "--fork", "--mount-proc", "--kill-child"]
        self._outer = subprocess.Popen([*words, "sh", "-c", inside], stderr=subprocess.DEVNULL)
        self._started: list[subprocess.Popen[bytes]] = []
        self.pid = self._inner()
        self._link = f"search-{number}"
        _ip("link", "add", self._link, "type", "veth", "peer", "name", "net0", "netns", str(self.pid))
        _ip("link", "set", self._link, "master", BRIDGE, "up")
        self.do(
            f"ip addr add {self.address}/24 dev net0; ip link set net0 up; ip link set lo up; mount -t sysfs sys /sys"
        )

    def _inner(self) -> int:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            children = read(Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")).split()
            if children and read(Path(f"/proc/{children[0]}/comm")).strip() == "sleep":
                return int(children[0])
            time.sleep(0.05)
        raise AssertionError("no machine")

    def start(self, command: str, log: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Run a shell command there, in its home; what it says goes to the file `log` of its home."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("SEARCH_", "RAY_", "OMP_"))}
        ours |= {"HOME": str(self.home), "PATH": f"{BIN}:{ours['PATH']}", "XDG_CACHE_HOME": str(self.home / "cache")}
        enter = ["nsenter", "--target", str(self.pid), "--net", "--mount", "--pid", "--uts", f"--wdns={self.home}"]
        with (self.home / log).open("ab") as output:
            process = subprocess.Popen(
                [*enter, "bash", "-c", command],
                env=ours | dict(env or {}),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def do(self, command: str, env: Mapping[str, str] | None = None, timeout: float = 120) -> str:
        """Run a shell command there to its end; what it said."""
        log = f"done-{time.monotonic_ns()}"
        with suppress(subprocess.TimeoutExpired):
            self.start(command, log, env).wait(timeout)
        return read(self.home / log)

    def said(self, log: str) -> str:
        return read(self.home / log)

    def cut(self) -> None:
        """Pull the cable."""
        _ip("link", "set", self._link, "down")

    def mend(self) -> None:
        _ip("link", "set", self._link, "up")

    def kill(self, word: str) -> int:
        """SIGKILL its processes whose command line has the `word`; how many there were."""
        found = 0
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                here = (process / "ns" / "net").readlink() == Path(f"/proc/{self.pid}/ns/net").readlink()
                if here and word in read(process / "cmdline").replace("\0", " "):
                    os.kill(int(process.name), signal.SIGKILL)
                    found += 1
        return found

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)  # the first process of its namespace takes all others along
        for process in (self._outer, *self._started):
            process.wait(30)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Room:
    """Machines on one network, and the bridge's own address for what all of them use."""

    address = f"{NETWORK}.254"

    def __init__(self, shared: Path) -> None:
        self.shared = shared
        self.machines: dict[str, Machine] = {}

    def add(self, name: str) -> Machine:
        self.machines[name] = made = Machine(name, len(self.machines) + 1, self.shared)
        return made


@contextmanager
def room() -> Iterator[Room]:
    """A room without machines; all are gone in the end. Skips where there can be none."""
    if why := why_not():
        pytest.skip(why)
    shared = Path(tempfile.mkdtemp(prefix="search-room-", dir="/var/tmp"))  # each machine has a /tmp of its own
    with suppress(subprocess.CalledProcessError):
        _ip("link", "del", BRIDGE)  # of a test that was killed
    _ip("link", "add", BRIDGE, "type", "bridge")
    made = Room(shared)
    try:
        _ip("addr", "add", f"{made.address}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        yield made
    finally:
        for machine in made.machines.values():
            machine.end()
        _ip("link", "del", BRIDGE)
        shutil.rmtree(shared, ignore_errors=True)
