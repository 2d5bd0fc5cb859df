"""The processes that a fork server has forked: which still run, and how the others ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path

from search.engine.processes.memory import Memory

_SOON = 1.0
"""Seconds in which the server notes an end; it may be dead itself."""


class Children:
    """The forked processes of this one. How each ends is noted in a file of `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._memory = Memory()
        self.running: list[int] = []
        """Their descriptors, readable when they end."""

    def add(self, pid: int) -> None:
        self.running.append(os.pidfd_open(pid))

    def reap(self) -> None:
        """Note how those have ended that run no more."""
        for child in wait(self.running, 0):
            assert isinstance(child, int)
            ended = os.waitid(os.P_PIDFD, child, os.WEXITED)
            if ended is not None:
                how = self._how(ended)
                with suppress(OSError):  # a full disk
                    (self._folder / f"ended-{ended.si_pid}").write_text(how, encoding="ascii")
            self.running.remove(child)
            os.close(child)

    def _how(self, ended: os.waitid_result) -> str:
        if ended.si_code == os.CLD_EXITED:
            return f"exit status {ended.si_status}"
        named = ended.si_status in [*signal.Signals]  # realtime signals between the first and the last are not
        name = signal.Signals(ended.si_status).name if named else f"signal {ended.si_status}"
        said = self._memory.said_of(ended.si_pid) if ended.si_status == signal.SIGKILL else ""
        return f"{name} {said}".rstrip()

    def end_in_order(self) -> None:
        """Tell each that nobody waits for it, and wait until all have ended; SIGTERM kills them."""

        def send(number: int) -> None:
            for child in self.running:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(child, number)

        signal.signal(signal.SIGTERM, lambda *_: send(signal.SIGKILL))
        send(signal.SIGINT)
        while self.running:
            wait(self.running)
            self.reap()


def how_it_ended(address: str, pid: int) -> str:
    """How the forked process `pid` of the server at `address` ended, as `SIGKILL` or `exit status 1`; may be empty."""
    return next(_noted(Path(address).parent / f"ended-{pid}"), "")


def _noted(file: Path) -> Iterator[str]:
    end = time.monotonic() + _SOON
    while time.monotonic() < end:
        with suppress(OSError):
            if text := file.read_text(encoding="ascii"):
                yield text
        time.sleep(0.02)
