"""Activations on disk: computed once whoever asks, whole or not there, within a budget."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor

from search.train.frozen import activations
from search.train.frozen.activations import CHUNK, NoRoom, load

ROWS = 2 * CHUNK + 7


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "search" / "features"


def values(rows: range, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.stack([torch.arange(rows.start, rows.stop), -torch.arange(rows.start, rows.stop)], 1).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_computed_once_and_read_again(dtype: torch.dtype) -> None:
    calls: list[range] = []

    def compute(rows: range) -> Tensor:
        calls.append(rows)
        return values(rows, dtype)

    for _ in range(2):
        kept = load("k", ROWS, torch.ones(1, 2, dtype=dtype), compute)
        assert kept.dtype == dtype
        assert torch.equal(kept, values(range(ROWS), dtype))
    assert calls == [range(CHUNK), range(CHUNK, 2 * CHUNK), range(2 * CHUNK, ROWS)]


def test_workers_share_out_the_chunks(home: Path) -> None:
    count: Counter[int] = Counter()
    found: list[Tensor] = []
    both = threading.Barrier(2)

    def compute(rows: range) -> Tensor:
        count[rows.start] += 1
        if rows.start < 2 * CHUNK:
            both.wait(20)  # each of the two is in a chunk of its own at the same time
        return values(rows)

    def work() -> None:
        found.append(load("k", ROWS, torch.ones(1, 2), compute))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert count == {0: 1, CHUNK: 1, 2 * CHUNK: 1}
    assert len(found) == 2
    assert all(torch.equal(kept, values(range(ROWS))) for kept in found)
    assert (home / "k" / "values.npy").is_file()
    assert not (home / "k" / "values.part").exists()


CHILD = """
import sys, time, torch
from search.train.frozen.activations import load
def compute(rows):
    if rows.start:
        print("second", flush=True)
        time.sleep(60)
    return torch.full((len(rows), 2), 7.0)
load("k", int(sys.argv[1]), torch.ones(1, 2), compute)
"""


def test_a_killed_process_leaves_its_chunk_to_others() -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(ROWS)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "second\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    seen: list[int] = []

    def compute(rows: range) -> Tensor:
        seen.append(rows.start)
        return values(rows)

    kept = load("k", ROWS, torch.ones(1, 2), compute)
    assert seen == [CHUNK, 2 * CHUNK]
    assert (kept[:CHUNK] == 7).all()
    assert torch.equal(kept[CHUNK:], values(range(CHUNK, ROWS)))


def test_a_failure_leaves_nothing_that_passes_for_whole() -> None:
    def broken(rows: range) -> Tensor:
        raise MemoryError("no room")

    with pytest.raises(MemoryError):
        load("k", 4, torch.ones(1, 2), broken)
    assert torch.equal(load("k", 4, torch.ones(1, 2), values), values(range(4)))


def age(home: Path, key: str, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(home / key, (then, then))


def test_the_least_recently_used_make_room(home: Path) -> None:
    like, size = torch.ones(1, 2), 1000 * 2 * 4 + 128
    a = load("a", 1000, like, values, 10 * size)
    load("b", 1000, like, values, 10 * size)
    age(home, "a", 200)
    age(home, "b", 100)
    load("a", 1000, like, values, 10 * size)  # used again
    load("c", 1000, like, values, 2 * size + size // 2)
    assert {path.name for path in home.iterdir() if path.is_dir()} == {"a", "c"}
    load("d", 1000, like, values, size)
    assert {path.name for path in home.iterdir() if path.is_dir()} == {"d"}
    assert torch.equal(a, values(range(1000)))  # who reads a dropped array keeps it


def test_what_is_being_computed_is_not_dropped(home: Path) -> None:
    def computing(rows: range) -> Tensor:
        with pytest.raises(NoRoom):
            load("b", 1000, torch.ones(1, 2), values, 12_000)
        age(home, "a", activations._ABANDONED_S + 1)
        load("b", 1000, torch.ones(1, 2), values, 12_000)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load("a", 1000, torch.ones(1, 2), computing, 12_000)
    assert not (home / "a").exists()


def test_too_large_for_the_budget_or_the_disk(home: Path) -> None:
    with pytest.raises(NoRoom, match=r"8e\+06 GB of activations do not fit on the disk of"):
        load("k", 10**15, torch.ones(1, 2), values, 10**18)
    with pytest.raises(NoRoom, match=r"0.008 GB of activations, of at most 0.004 GB kept; cache_size="):
        load("k", 10**6, torch.ones(1, 2), values, 4 * 10**6)
    assert not (home / "k").exists()


def test_a_full_disk_is_an_error_and_no_signal(home: Path) -> None:
    """On a limit to the size of files, which is what a test without root has of a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(NoRoom, match=f"^{re.escape(str(home))}"):
            load("k", 10_000, torch.ones(1, 2), values)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(home.glob("k/*"))


def test_a_cache_that_cannot_be_written_is_no_room(home: Path) -> None:
    home.parent.mkdir(parents=True)
    home.write_text("a file where the folder should be")
    with pytest.raises(NoRoom, match="cannot be used"):
        load("k", 4, torch.ones(1, 2), values)
