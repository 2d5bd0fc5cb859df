"""Memory as the kernel tells of it: its log, the counters of control groups, and a process that it really ends."""

from __future__ import annotations

import mmap
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from search.engine.processes.children import Children, how_it_ended
from search.engine.processes.memory import Memory

Write = Callable[[str, str], Path]
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
KILLED = "6,812,{:.0f},-,caller=T1;Memory cgroup out of memory: Killed process {} (python) total-vm:1kB, anon-rss:1kB\n"


def memory(tmp_path: Path, log: str = "nowhere") -> Memory:
    """One that looks at files of the test's own."""
    return Memory(tmp_path / log, tmp_path / "groups", tmp_path / "self")


@pytest.mark.parametrize(
    ("own", "file", "text"),
    [
        ("0::/a/b", "a/b/memory.events", "low 0\noom 5\noom_kill {}\n"),
        ("4:memory:/a\n0::/", "memory/a/memory.oom_control", CONTROL),
        ("4:cpu,memory:/a:b\n0::/", "memory/a:b/memory.oom_control", CONTROL),
        ("0::/a", "unified/a/memory.events", "oom_kill {}\n"),
        ("0::/of/the/host", "memory.events", "oom_kill {}\n"),
        ("4:memory:/docker/x", "memory/memory.oom_control", CONTROL),
    ],
)
def test_the_counter_of_either_version_is_read(write: Write, tmp_path: Path, own: str, file: str, text: str) -> None:
    write("self/cgroup", own)
    write(f"groups/{file}", text.format(4))
    watched = memory(tmp_path)
    assert (watched.count(), watched.said_of(7)) == (4, "")
    write(f"groups/{file}", text.format(6))
    assert watched.said_of(7) == "while the kernel ended 2 processes of its control group for want of memory"
    assert watched.said_of(7) == ""  # of an earlier one


@pytest.mark.parametrize("text", ["", "oom_kill\n", "oom_kill x\n", "low 0\n", "\xff"])
def test_where_no_counter_is_nothing_is_said(write: Write, tmp_path: Path, text: str) -> None:
    assert memory(tmp_path).count() == 0
    write("self/cgroup", "0::/\nodd\n")
    write("groups/memory.events", text)
    assert memory(tmp_path).count() == 0
    assert memory(tmp_path).said_of(7) == ""


@pytest.mark.parametrize(("namespace", "sure"), [("pid:[4026531836]", True), ("pid:[4026532901]", False)])
def test_the_log_is_of_the_first_namespaces_processes(write: Write, tmp_path: Path, namespace: str, sure: bool) -> None:
    (tmp_path / "self" / "ns").mkdir(parents=True)
    (tmp_path / "self" / "ns" / "pid").symlink_to(namespace)
    counter = write("groups/memory.events", "oom_kill 0\n")
    now = time.monotonic() * 1e6
    write("kmsg", "4,1,5,-;Killed process x\n" + KILLED.format(now - 60e6, 6) + KILLED.format(now + 1e6, 7))
    watched = memory(tmp_path, "kmsg")
    assert watched.said_of(7) == ("of the kernel, for want of memory" if sure else "")
    assert watched.said_of(6) == ""  # before
    counter.write_text("oom_kill 1\n")
    said = watched.said_of(8)
    assert said == ("" if sure else "while the kernel ended a process of its control group for want of memory")


@pytest.fixture
def small() -> Iterator[Path]:
    """A control group of 40 MB; skips, loudly, where none can be made."""
    group = Path("/sys/fs/cgroup/memory") / f"search-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no control group of version 1 can be made here: this test did NOT run")
    try:
        (group / "memory.limit_in_bytes").write_text("40M")
        with suppress(OSError):  # without swap there is no such file
            (group / "memory.memsw.limit_in_bytes").write_text("40M")
        yield group
    finally:
        group.rmdir()


def test_a_process_that_the_kernel_ends(small: Path, tmp_path: Path) -> None:
    children = Children(tmp_path)
    if (pid := os.fork()) == 0:
        (small / "cgroup.procs").write_text(str(os.getpid()))
        taken = mmap.mmap(-1, 2**28)
        for page in range(0, len(taken), mmap.PAGESIZE):
            taken[page] = 1
        os._exit(0)
    children.add(pid)
    os.waitid(os.P_PIDFD, children.running[0], os.WEXITED | os.WNOWAIT)
    children.reap()
    how = how_it_ended(str(tmp_path / "fork-server"), pid)
    readable = os.access("/dev/kmsg", os.R_OK) and str(Path("/proc/self/ns/pid").readlink()) == "pid:[4026531836]"
    assert how == (f"{signal.SIGKILL.name} of the kernel, for want of memory" if readable else signal.SIGKILL.name)
