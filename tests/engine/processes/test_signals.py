"""Signals: held back until the end, and silent in code that cannot raise."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine

from search.engine.processes.signals import held_back, unheard


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as in a terminal; in the background of a shell it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_signals_held_back_arrive_at_the_end() -> None:
    seen = []

    def interrupted() -> None:
        with held_back():
            signal.raise_signal(signal.SIGINT)
            seen.append("went on")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert seen == ["went on"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Interrupted(sqlite3.Connection):
    def close(self) -> None:
        raise KeyboardInterrupt


def test_ctrl_c_amid_what_cannot_raise_prints_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def callback(_: object) -> None:
        seen.append("callback")
        raise KeyboardInterrupt

    seen: list[str] = []
    engine = create_engine("sqlite://", connect_args={"factory": Interrupted})
    with unheard():
        gone = {0}
        watched = weakref.ref(gone, callback)
        del gone  # pytest would make a failure of what is printed
        assert watched() is None
        with pytest.raises(KeyboardInterrupt):
            engine.raw_connection().invalidate()
    assert seen == ["callback"]
    assert caplog.records == []


FORKS = """
import os, signal, time
from search.engine.processes.signals import handled

with handled(print, signal.SIGINT, signal.SIGUSR1), handled(signal.SIG_IGN, signal.SIGINT):
    if (child := os.fork()) == 0:
        right = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)]
        os._exit(right != [signal.default_int_handler, signal.SIG_DFL])
    assert os.waitpid(child, 0)[1] == 0
    assert signal.getsignal(signal.SIGUSR1) is print
with handled(print, signal.SIGTERM):
    for _ in range(200):
        if (child := os.fork()) == 0:
            time.sleep(30)
            os._exit(0)
        os.kill(child, signal.SIGTERM)
        assert os.waitpid(child, 0)[1] == signal.SIGTERM
"""


def test_a_forked_process_has_the_handlers_of_before_and_loses_no_signal_meanwhile() -> None:
    """In a small process: to fork one as large as this 200 times takes long."""
    restored = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    run = subprocess.run([sys.executable, "-c", restored + FORKS], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
