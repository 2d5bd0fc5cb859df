"""Processes for training, forked from a server that has imported what they need.

A process that imports torch spends three seconds of CPU time on it. A forked process has torch at once. Training does
not run in Ray's processes: it can run out of memory or hang, and Ray survives. multiprocessing's own fork server serves
only the process that started it, but here Ray's workers ask for processes, too.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Client, Connection, wait
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from search.engine.processes.children import Children
from search.engine.processes.ending import END, StdinEnds, leave, words_in
from search.engine.processes.scratch import scratch, sweep
from search.engine.processes.signals import handled, uninterrupted
from search.entry_points import ANSWER_CALL, FORK_SERVER_PROGRAM
from search.errors import option
from search.format import plural

# glibc: large tensors in huge pages. Page faults were a tenth of an AlexNet step's CPU time.
_ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


@dataclass
class ForkServer:
    """The folder of a fork server, which Ray's sockets may share, and the address where the server listens."""

    folder: Path
    address: str
    gone: str = ""
    """Why the server is given up, once it has died DEATHS times in a row and forked nothing in between."""


HOME = "home"
"""The folder, beside the server's socket, in which forked processes work once it is there."""
WAITING = "waiting until the training has closed what it opened; Ctrl-C ends it at once"
DEATHS = 4
"""The first start and three restarts, as many as Ray gets in one run."""


@contextmanager
def run_fork_server(
    preload: Sequence[str] = (),
    verbose: bool = False,
    patience: float | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[ForkServer]:
    """Run a fork server with a scratch folder. The server first imports the modules `preload`.

    A server that dies is started again. Its forked processes live on, and clients that connect meanwhile wait for the
    next server. When this process is killed, the server kills the processes that use the folder, and removes it.
    At the end, what runs gets `patience` seconds (None: no limit) to close what it opened. `say` tells the user.
    """
    with scratch() as (folder, held), socket.socket(socket.AF_UNIX) as listening:
        server = ForkServer(folder, str(folder / "fork-server"))
        listening.bind(server.address)  # before the server runs, so that no client comes too early
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
                process_group=0,  # Ctrl-C is the driver's, which tells the training in order
            )

        process = _Process(server, start, served, listening)
        try:
            yield server
        finally:
            process.end(patience, say)
            with uninterrupted():
                os.close(served)
                os.close(serves)


_SOON = 3.0
"""Seconds that an end takes without a word."""


class _Process(threading.Thread):
    """The process of a fork server, started again whenever it dies."""

    def __init__(
        self, server: ForkServer, start: Callable[[], subprocess.Popen[bytes]], served: int, listening: socket.socket
    ) -> None:
        """`served`: the read end of a pipe to which the server writes a byte for each process that it forks."""
        super().__init__(name="fork server", daemon=True)
        self._server, self._restart, self._served, self._listening = server, start, served, listening
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
                    self._give_up(f"died {plural(deaths, 'time')} in a row ({how}), and forked none in between")
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
        self._server.gone = f"the server that forks training processes {why}; {option('verbose')} shows what it says"
        self._listening.close()  # clients that connect now get an error

    def _has_forked(self) -> bool:
        """Whether the server has forked a process since the last call."""
        with suppress(BlockingIOError):
            return bool(os.read(self._served, 2**16))
        return False

    def end(self, patience: float | None, say: Callable[[str], None]) -> None:
        """End the server, which lets its processes end in order. Once that takes too long, or is interrupted: at once.

        `patience`: seconds; None: no limit.
        """
        with self._lock:
            self._over = True
        with handled(lambda *_: self._process.terminate(), signal.SIGINT, signal.SIGTERM):
            assert self._process.stdin is not None
            with suppress(BrokenPipeError):  # it is dead
                self._process.stdin.write(b"done")
                self._process.stdin.close()  # the server ends when its stdin ends
            self.join(_SOON if patience is None else min(patience, _SOON))
            if self.is_alive():
                say(WAITING)
            self.join(None if patience is None else patience + _SOON)
        self._process.terminate()
        self.join(_SOON)
        self._process.kill()
        self.join()
        for line in words_in(self._server.folder):
            say(line)


class Died(RuntimeError):
    """A forked process, or the fork server itself, was killed."""


def fork(address: str, function: str, *args: Any) -> Connection:
    """Call ``function(connection, *args)`` in a new process, and return the other end of its connection.

    `function` is a name such as module:function, since only the new process imports it. The process ends with the
    function, or at once when this end is closed. Raises Died.
    """
    try:
        connection = Client(address, "AF_UNIX")
        connection.send((function, args))
    except OSError as error:
        raise Died(f"the server that forks training processes is gone: {error}") from error
    return connection


class Call:
    """A call of ``function(*args, progress)`` that runs in a process of its own, with the variables `environment`."""

    def __init__(
        self,
        address: str,
        function: str,
        *args: Any,
        environment: Mapping[str, str] | None = None,
        tries: int = 1,
    ) -> None:
        """`tries`: how often it is called where its process is killed each time."""
        self._ask = partial(fork, address, ANSWER_CALL, function, args, dict(environment or {}))
        self._connection, self._tries = self._ask(), tries

    def result(self, progress: Callable[..., None] = lambda *_: None) -> Any:
        """Return what the function returns, and pass its progress on. Raises what the function raised, or Died."""
        try:
            return self._result(progress)
        finally:
            self._connection.close()

    def _result(self, progress: Callable[..., None]) -> Any:
        while True:
            try:
                kind, value = self._connection.recv()
            except (EOFError, OSError):
                kind, value = "died", None
            if kind == "progress":
                progress(*value)
                continue
            if kind == "returned":
                return value
            if kind == "raised":
                raise value
            self._tries -= 1
            if self._tries <= 0:
                raise Died("the process that checks the space was killed")
            self._connection.close()
            self._connection = self._ask()


def _answer(connection: Connection, function: str, args: tuple[Any, ...], environment: dict[str, str]) -> None:
    os.environ.update(environment)
    try:
        value = resolve_name(function)(*args, lambda *value: connection.send(("progress", value)))
        connection.send(("returned", value))
    except Exception as error:
        connection.send(("raised", error))


def _serve(listening: socket.socket, serves: int, modules: list[str], children: Children) -> None:
    """Fork a process for each client, and write a byte to `serves`, until the process that started this one is gone.

    The first of the `modules` is imported before any client is served, the others between clients.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})  # Ray blocks them in what it starts
    ends = StdinEnds()
    gc.disable()  # it takes a sixth of an import's time, and a collection in a child would copy every page
    ready: list[Any] = []
    while 0 not in ready:  # stdin is readable when the driver ends
        if listening in ready:
            accepted, _ = listening.accept()
            if (pid := os.fork()) == 0:
                listening.close()
                for descriptor in (serves, *children.running):
                    os.close(descriptor)
                _child(Connection(accepted.detach()))
            accepted.close()
            children.add(pid)
            with suppress(BlockingIOError):  # the pipe is full of bytes that nobody has read yet
                os.write(serves, b".")
        elif modules:
            ends.cuts_short(partial(importlib.import_module, modules.pop(0)))
        ready = wait([listening, 0, *children.running], 0 if modules else None)
        children.reap()


def _child(connection: Connection) -> None:
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    gc.freeze()
    gc.enable()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    END.folder = Path(sys.argv[3])
    with suppress(FileNotFoundError):
        os.chdir(END.folder / HOME)
    END.watch(connection.fileno())
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # otherwise every child draws the same numbers
    status = 0
    try:
        function, args = connection.recv()
        resolve_name(function)(connection, *args)
    except EOFError:
        pass
    except BaseException:
        status = 1
        sys.excepthook(*sys.exc_info())
    finally:
        leave(status)


if __name__ == "__main__":
    forked = Children(Path(sys.argv[3]))
    _serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), sys.argv[4:], forked)
    if sys.stdin.read():
        forked.end_in_order()
    else:  # the driver was killed, and cannot remove the folder
        sweep(Path(sys.argv[3]))
