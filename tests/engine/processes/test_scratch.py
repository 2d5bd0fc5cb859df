"""Scratch folders: nothing stays behind, and nobody sweeps what is in use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from search.engine.processes.scratch import scratch


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
