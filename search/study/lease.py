"""One driver runs a study at a time: who that is, and whether it lives."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from optuna.study import Study

from search.errors import SearchError
from search.files.atomic import alive
from search.study.attributes import StudyRecord
from search.study.storage import retry
from search.study.storage.open import hurry

LEASE_SECONDS = 30.0
"""A driver that has not beaten for so long is taken for dead."""
_HELD: set[str] = set()
"""The tokens of the leases that this process holds."""


@contextmanager
def lease(study: Study) -> Iterator[Callable[[], None]]:
    """Hold the study for this process: one driver runs a study at a time.

    Yields what raises SearchError once another holds it: this process may have been stopped for so long (Ctrl-Z, a
    laptop asleep) that it was taken for dead, and what it then wrote would mingle with the other's.
    Raises SearchError, naming host and pid, if another driver that lives holds it. A lease is stale after
    LEASE_SECONDS without a beat, and at once if its process is dead on this host.
    """
    token = uuid.uuid4().hex
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "token": token}
    beaten, lost, record = 0.0, "", StudyRecord(study)

    def beat() -> None:
        nonlocal beaten
        record.driver = {**mine, "beat": time.time()}
        beaten = time.time()

    def renew() -> None:
        nonlocal lost
        held = record.driver
        if held and held["token"] == token:
            beat()
        else:
            lost = driver_of(held) or "another process"

    def ours() -> None:
        if not lost and time.time() - beaten > LEASE_SECONDS / 2:  # it beats more often, unless it was stopped
            renew()
        if lost:
            raise SearchError(f"the study {study.study_name!r} went to {lost} while this process was stopped")

    _refuse_if_held(study, token)
    beat()
    time.sleep(0.1)  # two that start together both write; the one that wrote last stays
    _refuse_if_held(study, token)
    _HELD.add(token)
    stop = threading.Event()

    def keep() -> None:
        while not lost and not stop.wait(LEASE_SECONDS / 3):
            try:
                renew()
            except Exception:  # the storage is away: the run itself will say so
                continue

    thread = threading.Thread(target=keep, name="lease", daemon=True)
    thread.start()
    try:
        yield ours
    except BaseException:
        hurry(study)
        raise
    finally:
        stop.set()
        thread.join()
        _HELD.discard(token)
        with suppress(*retry.ERRORS):  # then it is stale by itself: at once on this host
            if not lost:
                record.driver = None


def _refuse_if_held(study: Study, token: Any) -> None:
    held = StudyRecord(study).driver
    who = driver_of(held)
    if held and who is not None and held["token"] != token:
        raise SearchError(f"the study {study.study_name!r} is being run by {who}; stop that first")


def driver_of(held: Any) -> str | None:
    """Who runs a study whose attribute `driver` is `held`, if that one lives."""
    if not isinstance(held, dict) or time.time() - held["beat"] > LEASE_SECONDS:
        return None
    if held["host"] == socket.gethostname() and not alive(held["pid"]):
        return None
    if (held["host"], held["pid"]) == (socket.gethostname(), os.getpid()) and held["token"] not in _HELD:
        return None  # of an earlier run of this process, which could not give it back
    return f"process {held['pid']} on {held['host']}"
