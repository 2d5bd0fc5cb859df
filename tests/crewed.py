"""Processes that train one trial together, on CPUs: what each GPU of a trial has."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from search.engine.messages import Closed, Drop, Message, Order, Report, WorkerConfig
from search.engine.processes.crew import Crew
from search.engine.processes.forkserver import ForkServer, run_fork_server
from search.entry_points import PRELOAD_RANKS

MODELS = """
import os, signal, time
from pathlib import Path
import torch
from torch import nn

class Fails(nn.Linear):
    '''What goes wrong in the second process of a training, in the step of that number.'''
    def __init__(self, how, inputs, classes):
        super().__init__(inputs, classes)
        self.how, self.steps = how, 0
        Path(f"pid-{os.getpid()}").touch()

    def forward(self, x):
        if torch.is_grad_enabled():
            self.steps += 1
            if os.environ["RANK"] == "1" and self.steps == 20:
                self.fail()
        return super().forward(x)

    def fail(self):
        if self.how == "oom":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        if self.how == "killed" and not Path("was-killed").exists():
            Path("was-killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "hangs":
            time.sleep(1000)

def oom(classes, channels): return nn.Sequential(nn.Flatten(), Fails("oom", 64, classes))
def killed(classes, channels): return nn.Sequential(nn.Flatten(), Fails("killed", 64, classes))
def hangs(classes, channels): return nn.Sequential(nn.Flatten(), Fails("hangs", 64, classes))

def normed(classes, channels):
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, classes))

class Skips(nn.Module):
    '''A layer that no step uses.'''
    def __init__(self, classes):
        super().__init__()
        self.used, self.unused = nn.Linear(64, classes), nn.Linear(64, classes)

    def forward(self, x):
        return self.used(x.flatten(1))

def skips(classes, channels): return Skips(classes)
"""
OFTEN = f"import {PRELOAD_RANKS}\nfrom search.train import checkpoints, trainer\ncheckpoints.OFTEN = 0.0\n"
"""What the fork server imports before it serves anybody; it has a checkpoint written after each epoch."""


@contextmanager
def forking(folder: Path, cache: Path | None = None) -> Iterator[ForkServer]:
    """A fork server whose processes work in `folder`, which gets models.py, and write a checkpoint after each epoch.

    `cache`: where they find data sets that others have prepared; without it, in `folder`.
    """
    (folder / "models.py").write_text(MODELS)
    (folder / "often.py").write_text(OFTEN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *sys.path]))
        patch.setenv("XDG_CACHE_HOME", str(cache or folder / "cache"))
        with run_fork_server(("often",), patience=0.5) as server:
            (server.folder / "home").symlink_to(folder)
            yield server


def made(server: ForkServer, ranks: int = 2, patience: float | None = 60.0) -> Crew:
    place = WorkerConfig("data", "cpu", 1, ranks=ranks, patience=patience)
    return Crew(server.address, place, {})


def messages(crew: Crew, settings: dict[str, Any], stop: int | None = None, **order: Any) -> list[Message]:
    """What the crew answers to a trial's order, to its end or until the epoch `stop`, after which it is dropped."""
    crew.send_bytes(Order(1, settings, **order).packed())
    found: list[Message] = []
    while True:
        message = crew.receive()
        assert not isinstance(message, Closed)
        found.append(message)
        if not isinstance(message, Report):
            return found
        if message.step == stop:
            crew.send(Drop(1))
            crew.receive()
            return found
        crew.send(None)


def alive(crew: Crew) -> list[int]:
    """The processes that are there, but for those that wait to be reaped."""
    return [pid for pid in crew._pids.values() if runs(pid)]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def kill(crew: Crew, rank: int) -> None:
    os.kill(list(crew._pids.values())[rank], signal.SIGKILL)
