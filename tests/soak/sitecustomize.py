"""Imported by every Python that has this folder on its path: one of them dies as it writes a checkpoint.

`KILLED_AT` is a point, `temp` or `rename`, `before` or `after`; `KILLED_FLAGS` a folder in which each kill leaves a
link that names the trial, and `KILLED_TIMES` how many there shall be. A trial dies twice at most: after the third time
without an epoch more it is given up, as it should be.
"""

import os
import random
import signal
from typing import Any


def _arm(point: str, when: str, folder: str, times: int) -> None:
    name = "fsync" if point == "temp" else "rename"
    real = getattr(os, name)

    def written(*args: Any) -> str:
        """The path, if it is a checkpoint that is written or renamed."""
        path = os.readlink(f"/proc/self/fd/{args[0]}") if point == "temp" else str(args[1])  # noqa: PTH115 - light
        return path if path.endswith(".part" if point == "temp" else ".checkpoint") else ""

    def die(path: str) -> None:
        trial = path.split("/")[-2]
        made = [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]  # noqa: PTH115, PTH208 - light
        if len(made) < times and made.count(trial) < 2 and random.SystemRandom().random() < 0.3:
            try:
                os.symlink(trial, f"{folder}/{len(made)}")  # noqa: PTH211 - light
            except FileExistsError:  # another was faster
                return
            os.kill(os.getpid(), signal.SIGKILL)

    def call(*args: Any, **options: Any) -> Any:
        path = written(*args)
        if path and when == "before":
            die(path)
        result = real(*args, **options)
        if path and when == "after":
            die(path)
        return result

    setattr(os, name, call)


if "KILLED_AT" in os.environ:
    _point, _when = os.environ["KILLED_AT"].split()
    _arm(_point, _when, os.environ["KILLED_FLAGS"], int(os.environ["KILLED_TIMES"]))
