"""The lease of a study: one process at a time runs it, and others can tell whether that process lives."""

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
"""After so long without a beat the process counts as dead."""
_HELD: set[str] = set()
"""The tokens of the leases that this process holds."""


@contextmanager
def lease(study: Study) -> Iterator[Callable[[], None]]:
    """Hold the study for this process.

    Yields a function that raises SearchError once another process holds the study. That happens when this process was
    stopped for long (Ctrl-Z, a laptop asleep) and counted as dead; what both write would mingle.
    Raises SearchError, naming host and pid, if another live process holds the study. A lease is stale after
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
    """The live process that holds a study, by its attribute `driver`; None if there is none."""
    if not held or time.time() - held["beat"] > LEASE_SECONDS:
        return None
    if held["host"] == socket.gethostname() and not alive(held["pid"]):
        return None
    if (held["host"], held["pid"]) == (socket.gethostname(), os.getpid()) and held["token"] not in _HELD:
        return None  # an earlier run of this process could not give it back
    return f"process {held['pid']} on {held['host']}"
