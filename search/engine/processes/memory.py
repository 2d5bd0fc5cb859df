"""Whether the kernel ended a process for want of memory, as its log and its counters say; nothing is guessed."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_KILLED = re.compile(r"(\d+),\d+,(\d+),[^;]*;.*\bKilled process (\d+)\b")
"""A record of the kernel's log: its level, its time in microseconds since the boot, and the process."""
_FIRST_PIDS = "pid:[4026531836]"
"""The process numbers of the kernel's log are those of this namespace, which every kernel calls so."""


class Memory:
    """What the kernel says, from now on, of processes that it ends for want of memory."""

    def __init__(
        self, log: Path = Path("/dev/kmsg"), groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self")
    ) -> None:
        """`log`: the kernel's log. `groups`: where control groups are. `own`: what the kernel says of this process."""
        self._log, self._groups, self._own = log, groups, own
        self._began = time.monotonic() - 1.0
        self._counted = self.count()

    def said_of(self, pid: int) -> str:
        """What the kernel says of the process `pid` that SIGKILL has ended; empty if nothing."""
        counted = self.count()
        more, self._counted = counted - self._counted, counted
        try:
            known = self._in_log() if str((self._own / "ns" / "pid").readlink()) == _FIRST_PIDS else None
        except OSError:  # most often only root may read it
            known = None
        if known is not None:
            return "of the kernel, for want of memory" if pid in known else ""
        processes = "a process" if more == 1 else f"{more} processes"
        return f"while the kernel ended {processes} of its control group for want of memory" if more > 0 else ""

    def count(self) -> int:
        """How many processes of this control group the kernel has ended for want of memory, as far as it says."""
        for file in self._counters():
            with suppress(OSError, ValueError):
                counts = dict(line.split(maxsplit=1) for line in file.read_text(encoding="ascii").splitlines())
                if "oom_kill" in counts:
                    return int(counts["oom_kill"])
        return 0

    def _counters(self) -> Iterator[Path]:
        """The files that may count: of both versions of control groups, the own group's before the root's."""
        found: list[tuple[str, str, str]] = []
        with suppress(OSError, ValueError):
            lines = (self._own / "cgroup").read_text(encoding="utf-8").splitlines()
            for _, kinds, path in (line.split(":", 2) for line in lines):
                found += [("memory", path, "memory.oom_control")] if "memory" in kinds.split(",") else []
                found += [(mount, path, "memory.events") for mount in ("", "unified") if not kinds]
        for mount, path, name in found:
            yield self._groups / mount / path.lstrip("/") / name
        yield self._groups / "memory.events"  # in a container, whose own group is the root
        yield self._groups / "memory" / "memory.oom_control"

    def _in_log(self) -> set[int]:
        """The processes that the log says were ended for want of memory since the beginning. Raises OSError."""
        log, found = os.open(self._log, os.O_RDONLY | os.O_NONBLOCK), set[int]()
        try:
            while True:
                try:
                    record = os.read(log, 2**13)
                except BlockingIOError:
                    return found
                except BrokenPipeError:  # records that were overwritten meanwhile
                    continue
                if not record:
                    return found
                for line in record.decode(errors="replace").splitlines():
                    match = _KILLED.match(line)
                    if match and int(match[2]) / 1e6 >= self._began:
                        found.add(int(match[3]))
        finally:
            os.close(log)
