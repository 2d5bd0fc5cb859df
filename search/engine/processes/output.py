"""What the code of a trial prints, kept in a file of the trial where nobody would see it."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from pathlib import Path

_STREAMS = (1, 2)


class Output:
    """Standard output and error of this process, where both lead to /dev/null. Elsewhere it does nothing."""

    def __init__(self) -> None:
        self._unseen = all(map(_leads_nowhere, _STREAMS))
        self._file: Path | None = None

    def begin(self, file: Path | None) -> None:
        """Write to the end of `file` from now on, WORK/runs/STUDY/output/FILE; nowhere, if there is no WORK here."""
        self.end()
        if not self._unseen or file is None or not file.parents[3].is_dir():  # another machine has other folders
            return
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            _point_to(file, os.O_APPEND | os.O_CREAT)
            self._file = file

    def end(self) -> None:
        """Write nowhere again; a file to which nothing was written is removed."""
        if self._file is None:
            return
        file, self._file = self._file, None
        with suppress(OSError):
            _point_to(Path(os.devnull), 0)
            if not file.stat().st_size:
                file.unlink()


def _leads_nowhere(stream: int) -> bool:
    try:
        return os.fstat(stream).st_rdev == Path(os.devnull).stat().st_rdev
    except OSError:  # it is closed
        return False


def _point_to(file: Path, how: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    opened = os.open(file, os.O_WRONLY | how, 0o666)
    for stream_number in _STREAMS:
        os.dup2(opened, stream_number)
    os.close(opened)
