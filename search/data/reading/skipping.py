"""Whether files that cannot be read are left out. Every process of a run decides alike, on whatever machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

SKIP_BROKEN = "SEARCH_SKIP_BROKEN"
"""The variable of the option skip_broken. The processes of a run inherit it."""


def skips_broken() -> bool:
    """Whether this process leaves out files that cannot be read."""
    return os.environ.get(SKIP_BROKEN, "").lower() in ("1", "true", "t", "yes", "y", "on")


def inherited() -> dict[str, str]:
    """The environment with which a process on another machine decides as this one does."""
    return {SKIP_BROKEN: "1"} if skips_broken() else {}


@contextmanager
def skipping(broken: bool) -> Iterator[None]:
    """Within, this process and those that it starts leave unreadable files out, or refuse them."""
    before = os.environ.get(SKIP_BROKEN)
    os.environ[SKIP_BROKEN] = "1" if broken else "0"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(SKIP_BROKEN, None)
        else:
            os.environ[SKIP_BROKEN] = before
