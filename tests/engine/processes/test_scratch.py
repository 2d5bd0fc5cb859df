"""Scratch folders: nothing stays behind, and nobody sweeps what is in use."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from search.engine.processes.scratch import held_back, scratch, unheard


def test_a_folder_is_private_and_goes_with_its_files() -> None:
    with scratch() as (folder, _):
        assert oct(folder.stat().st_mode)[-3:] == "700"
        (folder / "file").touch()
    assert not folder.exists()


def test_what_a_killed_run_and_server_leave_is_swept_by_the_next() -> None:
    left = Path(tempfile.mkdtemp(prefix="search-ray-", dir="/tmp"))
    code = "import sys, time; file = open(sys.argv[1], 'w'); print('open', flush=True); time.sleep(1000)"
    command = [sys.executable, "-c", code, str(left / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as straggler:
        assert straggler.stdout is not None
        straggler.stdout.readline()
        with scratch():  # it might be of a run that starts just now
            assert left.exists()
        os.utime(left, (0, 0))
        with scratch() as (mine, _):
            assert not left.exists()
            assert straggler.wait(30) == -signal.SIGKILL
            os.utime(mine, (0, 0))
            with scratch():
                assert mine.exists()


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
