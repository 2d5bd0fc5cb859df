"""Processes for training, forked from a server that has imported what they need.

A process that imports torch spends three seconds of CPU time on it; a forked one has it at once. And what trains is no
process of Ray's: it can run out of memory or hang without taking Ray along. multiprocessing's own fork server hands its
children only to the process that started it, and here Ray's workers ask for them.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection, wait
from pathlib import Path
from pkgutil import resolve_name
from select import POLLRDHUP, poll
from typing import Any

from search.engine.processes.scratch import scratch, sweep, uninterrupted
from search.entry_points import ANSWER_CALL, FORK_SERVER_PROGRAM
from search.errors import option

# glibc: large tensors in huge pages. Page faults were a tenth of an AlexNet step's CPU time.
_ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


@dataclass
class ForkServer:
    """A fork server: its folder, which Ray's sockets may share, and the address where it listens."""

    folder: Path
    address: str
    gone: str = ""
    """Why it is given up, once it has died DEATHS times in a row without having forked anything in between."""


DEATHS = 4
"""As often as Ray itself is let die in one run."""


@contextmanager
def opened(preload: Sequence[str] = (), verbose: bool = False) -> Iterator[ForkServer]:
    """A fork server of our own that first imports the modules `preload`, with a scratch folder.

    Who comes while it is dead is served by the next one: it is started anew, and what it had forked lives on. When
    this process is killed, the server ends whatever works in the folder, and removes it.
    """
    with scratch() as (folder, held), socket.socket(socket.AF_UNIX) as listening:
        nursery = ForkServer(folder, str(folder / "nursery"))
        listening.bind(nursery.address)  # before the server runs, so that nobody comes too early
        listening.listen(128)
        served, serves = os.pipe()
        for end in (served, serves):
            os.set_blocking(end, False)
        fds = [listening.fileno(), serves, held]

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", FORK_SERVER_PROGRAM, *map(str, fds[:2]), str(folder), *preload],
                stdin=subprocess.PIPE,
                stdout=None if verbose else subprocess.DEVNULL,
                stderr=None if verbose else subprocess.DEVNULL,
                pass_fds=fds,
                env={**_ENVIRONMENT, **os.environ},
            )

        server = _Server(nursery, start, served, listening)
        try:
            yield nursery
        finally:
            with uninterrupted():
                server.end()
                os.close(served)
                os.close(serves)


class _Server(threading.Thread):
    """A server, and another in its place whenever it dies."""

    def __init__(
        self, nursery: ForkServer, start: Callable[[], subprocess.Popen[bytes]], served: int, listening: socket.socket
    ) -> None:
        """`served`: what the server writes to for each process that it forks."""
        super().__init__(name="nursery", daemon=True)
        self._nursery, self._restart, self._served, self._listening = nursery, start, served, listening
        self._over = False
        self._lock = threading.Lock()
        self._process = start()
        self.start()

    def run(self) -> None:
        deaths = 0
        while True:
            status = self._process.wait()
            with self._lock:
                if self._over:
                    return
                deaths = 1 if self._has_forked() else deaths + 1
                how = f"signal {-status}" if status < 0 else f"status {status}"
                if deaths >= DEATHS:
                    self._give_up(f"died {deaths} times in a row ({how}), and forked none in between")
                    return
                dead = self._process
                try:
                    self._process = self._restart()
                except OSError as error:
                    self._give_up(f"died ({how}) and cannot be started again: {error}")
                    return
                assert dead.stdin is not None
                dead.stdin.close()

    def _give_up(self, why: str) -> None:
        self._nursery.gone = f"the server that forks training processes {why}; {option('verbose')} shows what it says"
        self._listening.close()  # who comes now is told

    def _has_forked(self) -> bool:
        """Since it was last asked."""
        with suppress(BlockingIOError):
            return bool(os.read(self._served, 2**16))
        return False

    def end(self) -> None:
        """End the server."""
        with self._lock:
            self._over = True
        self._process.communicate(b"done")  # the end of its stdin ends it
        self.join()


class Died(RuntimeError):
    """A process of the nursery, or the nursery itself, was killed."""


def fork(address: str, function: str, *args: Any) -> Connection:
    """Call ``function(connection, *args)`` in a new process, and return the other end of its connection.

    `function` is named as module:function, since only the new process need import it. The process ends with the
    function, or at once when this end is closed. Raises Died.
    """
    try:
        connection = Client(address, "AF_UNIX")
        connection.send((function, args))
    except OSError as error:
        raise Died(f"the server that forks training processes is gone: {error}") from error
    return connection


class Call:
    """``function(*args, progress)`` at work in a process of its own."""

    def __init__(self, address: str, function: str, *args: Any) -> None:
        self._connection = fork(address, ANSWER_CALL, function, args)

    def result(self, progress: Callable[..., None]) -> Any:
        """Wait for what the function returns, and hand on its progress. Raises what it raised, or Died."""
        with self._connection:
            while True:
                try:
                    kind, value = self._connection.recv()
                except (EOFError, OSError):
                    raise Died("the process that checks the space was killed, perhaps for want of memory") from None
                if kind == "returned":
                    return value
                if kind == "raised":
                    raise value
                progress(*value)


def _answer(connection: Connection, function: str, args: tuple[Any, ...]) -> None:
    try:
        value = resolve_name(function)(*args, lambda *value: connection.send(("progress", value)))
        connection.send(("returned", value))
    except Exception as error:
        connection.send(("raised", error))


def _serve(listening: socket.socket, serves: int, modules: list[str]) -> None:
    """Fork a process for whoever connects, and write a byte to `serves`, until whoever started this one is gone.

    The first of the `modules` is imported before anybody is served, the others in between.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    gc.disable()  # it takes a sixth of an import's time, and a collection in a child would copy every page
    ready: list[Any] = []
    while 0 not in ready:  # stdin has something to say, or an end, when the driver ends
        if listening in ready:
            accepted, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                os.close(serves)
                _child(Connection(accepted.detach()))
            accepted.close()
            with suppress(BlockingIOError):  # enough is there
                os.write(serves, b".")
        elif modules:
            importlib.import_module(modules.pop(0))
        ready = wait([listening, 0], 0 if modules else None)


def _child(connection: Connection) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    gc.freeze()
    gc.enable()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=_end_with, args=(connection.fileno(),), daemon=True).start()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # else every child draws the same
    try:
        function, args = connection.recv()
        resolve_name(function)(connection, *args)
    except EOFError:
        pass
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        os._exit(0)


def _end_with(descriptor: int) -> None:
    """End the process when the other end of its connection is gone, whatever it is busy with."""
    watched = poll()
    watched.register(descriptor, POLLRDHUP)
    watched.poll()
    os._exit(0)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), sys.argv[4:])
    if not sys.stdin.read():  # the driver was killed, and cannot sweep up
        sweep(Path(sys.argv[3]))
