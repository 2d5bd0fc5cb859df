"""What the processes of a command have used of the CPU by a moment, read from /proc while it runs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_EVERY = 0.25
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Watched:
    """`seen`: seconds since 1970, and CPU seconds by part so far."""

    seen: list[tuple[float, dict[str, float]]] = field(default_factory=list)

    def by(self, moment: float) -> dict[str, float]:
        """CPU seconds by part up to `moment`, the largest first; those of processes that had ended are not in it."""
        before = [used for at, used in self.seen if at <= moment]
        return dict(sorted(before[-1].items(), key=lambda item: -item[1])) if before else {}


@contextmanager
def watched(every: float = _EVERY) -> Iterator[Watched]:
    """Look at this process's children and theirs while the block runs, `every` so many seconds."""
    found, stop = Watched(), threading.Event()

    def look() -> None:
        while not stop.wait(every):
            found.seen.append((time.time(), _used(os.getpid())))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def _used(root: int) -> dict[str, float]:
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended
                words = (entry / "stat").read_text().rpartition(") ")[2].split()
                parents[int(entry.name)] = int(words[1])
                seconds[int(entry.name)] = (int(words[11]) + int(words[12])) / _TICK
    used: dict[str, float] = {}
    for pid in parents:
        line = [pid]
        while line[-1] in parents and line[-1] != root:
            line.append(parents[line[-1]])
        if line[-1] == root and pid != root:
            part = _part(line)
            used[part] = used.get(part, 0.0) + seconds[pid]
    return used


def _part(line: list[int]) -> str:
    """Whose process `line[0]` is; its parents follow, the last but one is the command itself."""
    if len(line) == 2:
        return "the driver"
    forks = [pid for pid in line[:-2] if b"search.engine.processes.forkserver" in _command(pid)]
    return "Ray" if not forks else "imports of torch" if len(forks) == 1 else "workers"


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return (Path("/proc") / str(pid) / "cmdline").read_bytes()
    return b""
