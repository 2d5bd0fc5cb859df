"""Imported by every Python that has this folder on its path: one of them dies as it writes a checkpoint.

`KILLED_AT` is a point, `temp` or `rename`, `before` or `after`; `KILLED_FLAGS` a folder in which each kill leaves a
file, and `KILLED_TIMES` how many there shall be.
"""

import os
import random
import signal
from typing import Any


def _arm(point: str, when: str, folder: str, times: int) -> None:
    name = "fsync" if point == "temp" else "rename"
    real = getattr(os, name)

    def matches(*args: Any) -> bool:
        if point == "temp":
            return os.readlink(f"/proc/self/fd/{args[0]}").endswith(".part")  # noqa: PTH115 - as light as can be
        return str(args[1]).endswith(".checkpoint")

    def die() -> None:
        made = len(os.listdir(folder))  # noqa: PTH208 - as light as can be
        if made < times and random.SystemRandom().random() < 0.3:
            try:
                os.close(os.open(f"{folder}/{made}", os.O_CREAT | os.O_EXCL))
            except FileExistsError:  # another was faster
                return
            os.kill(os.getpid(), signal.SIGKILL)

    def call(*args: Any, **options: Any) -> Any:
        found = matches(*args)
        if found and when == "before":
            die()
        result = real(*args, **options)
        if found and when == "after":
            die()
        return result

    setattr(os, name, call)


if "KILLED_AT" in os.environ:
    _point, _when = os.environ["KILLED_AT"].split()
    _arm(_point, _when, os.environ["KILLED_FLAGS"], int(os.environ["KILLED_TIMES"]))
