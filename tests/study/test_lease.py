"""The lease of a study: held, refused, and free again at once when its holder is dead."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from live import until
from optuna.study import Study

from search import Float, SearchSpace
from search.errors import SearchError
from search.space.file import SpaceFile
from search.study import lease as leases
from search.study.lease import lease
from search.study.study import open_study


def made() -> Study:
    space = SpaceFile(Path("space.py"), "space", SearchSpace(x=Float(0, 1), epochs=4), lambda config: iter(()))
    return open_study("sqlite:///studies.db", "s", space)


HOLD = """
import sys
from search.study.lease import lease
from search.study.study import load_study
with lease(load_study("sqlite:///studies.db", "s")):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()


def test_a_second_driver_is_refused_until_the_first_is_dead() -> None:
    study = made()
    with held_elsewhere() as holder:
        who = f"process {holder.pid} on {socket.gethostname()}"
        with pytest.raises(SearchError, match=who), lease(study):
            pass
        assert study.user_attrs["driver"]["pid"] == holder.pid  # the one refused left it alone
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with lease(study):  # at once: the process is dead on this host
            assert study.user_attrs["driver"]["pid"] == os.getpid()
    assert study.user_attrs["driver"] is None


def test_a_lease_elsewhere_is_held_while_it_beats() -> None:
    study = made()
    far = {"host": "elsewhere", "pid": 1, "token": "t"}
    study.set_user_attr("driver", far | {"beat": time.time()})
    with pytest.raises(SearchError, match="process 1 on elsewhere"), lease(study):
        pass
    study.set_user_attr("driver", far | {"beat": time.time() - leases.LEASE_SECONDS - 1})
    with lease(study):
        assert study.user_attrs["driver"]["host"] == socket.gethostname()


def test_a_lease_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.3)
    study = made()
    with lease(study):
        first = study.user_attrs["driver"]["beat"]
        until(lambda: study.user_attrs["driver"]["beat"] != first, "a beat")


def test_who_was_stopped_until_another_took_over_writes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    study = made()
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.6)
    with held_elsewhere() as holder:  # it beats every ten seconds only
        time.sleep(0.7)
        with lease(study) as ours:
            ours()
            theirs = {"host": socket.gethostname(), "pid": holder.pid, "token": "theirs", "beat": time.time() + 60}
            study.set_user_attr("driver", theirs)  # as if this process had been stopped meanwhile
            time.sleep(0.4)
            for _ in range(2):
                with pytest.raises(SearchError, match=f"the study 's' went to process {holder.pid} on"):
                    ours()
        assert study.user_attrs["driver"] == theirs
