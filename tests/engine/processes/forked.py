"""What test_forkserver.py has forked processes do; it imports little, as each of them imports it anew."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from search.engine.processes.ending import END
from search.errors import SearchError


def echo(connection: Connection, prefix: str) -> None:
    import numpy as np

    connection.send((os.getpid(), os.getppid(), "torch" in sys.modules, float(np.random.random())))
    while True:
        connection.send(prefix + connection.recv())


def sleep_long(connection: Connection) -> None:
    connection.send(os.getpid())
    time.sleep(1000)


def open_something(connection: Connection, patience: float | None, log: str) -> None:
    END.patience = patience
    connection.send(os.getpid())
    atexit.register(Path(log).write_text, "left")
    try:
        with END.interruptible():
            time.sleep(1000)
    finally:
        time.sleep(1000 if patience == 0.5 else 0.1)


def hand_over(connection: Connection, seconds: float, log: str) -> None:
    """Stand for a while where multiprocessing hands descriptors over, and then elsewhere; log what is interrupted."""
    END.patience = None
    text = "import time\ndef detach(send, seconds, done):\n  send(0)\n  time.sleep(seconds)\n  done.append('later')\n"
    names: dict[str, Any] = {}
    exec(compile(text, "/usr/lib/multiprocessing/resource_sharer.py", "exec"), names)  # noqa: S102
    where = ["handing over"]
    try:
        with END.interruptible():
            names["detach"](connection.send, seconds, where)
            time.sleep(1000)
    except KeyboardInterrupt:
        Path(log).write_text(where[-1])


def count(to: int, progress: Callable[[int], None]) -> str:
    for i in range(to):
        progress(i)
    return "done"


def variable(name: str, progress: Callable[[int], None]) -> str | None:
    return os.environ.get(name)


def fail(kind: str, progress: Callable[[int], None]) -> None:
    if kind == "search":
        raise SearchError("no such file")
    if kind == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    raise ValueError("odd")


def die_first(place: str, progress: Callable[[int], None]) -> str:
    if not Path(place).exists():
        Path(place).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    raise PermissionError("this is the function's own")
