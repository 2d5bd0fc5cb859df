"""The processes that train one trial at a time: one, or, where a trial has several GPUs, one for each of them."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from search.engine.failures import kind
from search.engine.messages import Closed, Failed, Message, Report, WorkerConfig
from search.engine.processes.children import how_it_ended
from search.engine.processes.forkserver import fork
from search.entry_points import TRAIN

_SOON = 1.0
"""Seconds in which the others of a failed process answer, unless they wait for it."""


class Crew:
    """The training processes of a worker, all of which get what is sent, and answer with one message."""

    def __init__(self, address: str, workplace: WorkerConfig, environment: Mapping[str, str]) -> None:
        """`address`: of the fork server. Raises Died."""
        self._address, self._patience = address, workplace.patience
        self._members: list[Connection] = []
        self._pids: dict[Connection, int] = {}
        self._dead: Connection | None = None
        self.torn = False
        """One has failed, and others may wait for it, or have lost it: the crew is of no more use."""
        meeting = str(Path(address).parent / f"meeting-{secrets.token_hex(8)}") if workplace.ranks > 1 else ""
        try:
            for rank in range(workplace.ranks):
                place = replace(workplace, rank=rank, meeting=meeting)
                self._members.append(fork(address, TRAIN, place, dict(environment)))
        except Exception:
            self.close()
            raise

    def met(self) -> bool:
        """Whether the first process has sent its number; if not, this receives it. Raises EOFError or OSError."""
        if self.leader in self._pids:
            return True
        self._pids[self.leader] = self._received(self.leader)
        return False

    @property
    def leader(self) -> Connection:
        """The connection of the first."""
        return self._members[0]

    def send(self, what: Any) -> None:
        """Send each an object. Raises OSError."""
        for member in self._members:
            with self._noting(member):
                member.send(what)

    def send_bytes(self, what: bytes) -> None:
        """Send each an object as pickle has made it. Raises OSError."""
        for member in self._members:
            with self._noting(member):
                member.send_bytes(what)

    def receive(self) -> Message | Closed:
        """The answer of the first, with what the others note; if one failed, that one's.

        Raises EOFError or OSError if one has died, TimeoutError if one does not answer in time.
        """
        answers: dict[Connection, Message | Closed] = {}
        failed: Failed | None = None
        end = self._later(self._patience)
        while len(answers) < len(self._members):
            left = None if end is None else max(0.0, end - time.monotonic())
            ready = wait([member for member in self._members if member not in answers], left)
            if not ready and failed is None:
                raise TimeoutError
            if not ready:
                break
            for member in ready:
                assert isinstance(member, Connection)
                message = self._received(member)
                if member not in self._pids:  # the first one is its number
                    self._pids[member] = message
                    end = self._later(self._patience)
                    continue
                answers[member] = message
                if isinstance(message, Failed) and failed is None:
                    failed, end = message, self._later(_SOON)
        if failed is None:
            return _joined([answers[member] for member in self._members])
        alike = [isinstance(each, Failed) and kind(each.reason) == "diverged" for each in answers.values()]
        self.torn = len(self._members) > 1 and sum(alike) < len(self._members)
        return failed

    def _received(self, member: Connection) -> Any:
        with self._noting(member):
            return member.recv()

    @contextmanager
    def _noting(self, member: Connection) -> Iterator[None]:
        """Take note if the process turns out to be dead."""
        try:
            yield
        except (EOFError, OSError):
            self._dead = member
            raise

    @staticmethod
    def _later(seconds: float | None) -> float | None:
        return None if seconds is None else time.monotonic() + seconds

    def how_it_died(self) -> str:
        """How the process ended that was found dead, as `SIGKILL`; empty where nobody knows."""
        pid = self._pids.get(self._dead) if self._dead is not None else None
        return how_it_ended(self._address, pid) if pid is not None else ""

    def close(self, hangs: bool = False) -> None:
        """Let go of all. One that hangs, or waits for another, is killed: it may never see the closed connection."""
        for member in self._members:
            member.close()
        if hangs or len(self._members) > 1:
            for pid in self._pids.values():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _joined(answers: list[Message | Closed]) -> Message | Closed:
    """The answer of the first process; of the others, the notes for the user that it has not, and what they raised."""
    first, *others = answers
    if isinstance(first, Report):
        notes = [note for each in others if isinstance(each, Report) for note in each.notes]
        return replace(first, notes=list(dict.fromkeys([*first.notes, *notes]))) if others else first
    if isinstance(first, Closed):
        return next((each for each in answers if isinstance(each, Closed) and each.raised), first)
    return first
