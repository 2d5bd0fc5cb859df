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
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection, wait
from pathlib import Path
from pkgutil import resolve_name
from select import POLLRDHUP, poll
from typing import Any

from search.engine.scratch import scratch, sweep, uninterrupted

# glibc: large tensors in huge pages. Page faults were a tenth of an AlexNet step's CPU time.
_ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


@dataclass(frozen=True)
class Nursery:
    """A fork server: its folder, which Ray's sockets may share, and the address where it listens."""

    folder: Path
    address: str


@contextmanager
def opened(preload: Sequence[str] = (), verbose: bool = False) -> Iterator[Nursery]:
    """A fork server of our own that first imports the modules `preload`, with a scratch folder.

    When this process is killed, the server ends whatever works in the folder, and removes it.
    """
    with scratch() as (folder, held):
        address = str(folder / "nursery")
        with socket.socket(socket.AF_UNIX) as listening:  # before the server runs, so that nobody comes too early
            listening.bind(address)
            listening.listen(128)
            server = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(listening.fileno()), str(folder), *preload],
                stdin=subprocess.PIPE,
                stdout=None if verbose else subprocess.DEVNULL,
                stderr=None if verbose else subprocess.DEVNULL,
                pass_fds=[listening.fileno(), held],
                env={**_ENVIRONMENT, **os.environ},
            )
        try:
            yield Nursery(folder, address)
        finally:
            with uninterrupted():
                server.communicate(b"done")  # the end of its stdin ends it


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
        self._connection = fork(address, f"{__name__}:_answer", function, args)

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


def _serve(listening: socket.socket, modules: list[str]) -> None:
    """Fork a process for whoever connects, until whoever started this one is gone.

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
                _child(Connection(accepted.detach()))
            accepted.close()
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
    _serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[3:])
    if not sys.stdin.read():  # the driver was killed, and cannot sweep up
        sweep(Path(sys.argv[2]))
