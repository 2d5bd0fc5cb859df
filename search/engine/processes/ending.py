"""The end of a forked process: what its code has opened is closed in order, within a time."""

from __future__ import annotations

import atexit
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from pathlib import Path
from select import POLLRDHUP, poll
from types import FrameType

from search.errors import visible


class End:
    """What a forked process does once nobody waits for it.

    `patience`: seconds that its own code gets then. 0: it ends at once. None: as long as it takes.
    """

    def __init__(self) -> None:
        self.patience: float | None = 0.0
        self.gone = False
        """Whether nobody waits any more."""
        self.folder: Path | None = None
        """Where it leaves words for the user then; `words_in` finds them."""
        self._open = False
        self._until = 0.0
        """How long an interruption may wait for what `_hands_over` names, by time.monotonic()."""

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Raise KeyboardInterrupt in the block, as Ctrl-C does in a script, once nobody waits for this process."""
        self._open = True
        try:
            if self.gone:
                raise KeyboardInterrupt
            yield
        finally:
            self._open = False

    def leave_word(self, line: str) -> None:
        """Leave one line for the user, whom nobody else tells any more."""
        if self.folder is not None:
            with suppress(OSError), (self.folder / f"{_WORDS}{os.getpid()}").open("a", encoding="utf-8") as file:
                file.write(f"{visible(line)}\n")

    def watch(self, descriptor: int) -> None:
        """Take note, in a thread, when the other end of a connection is gone. Call it in the main thread."""
        signal.signal(signal.SIGINT, self._interrupt)
        os.register_at_fork(after_in_child=self._hand_back)
        threading.Thread(target=self._wait, args=(descriptor,), daemon=True).start()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.patience == 0:
            os._exit(0)
        if not self.gone:
            self.gone, self._until = True, time.monotonic() + _SOON
        if not self._open:
            return
        if _hands_over(frame) and time.monotonic() < self._until:
            again = threading.Timer(0.01, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
            again.daemon = True
            again.start()
            return
        self._open = False
        raise KeyboardInterrupt

    def _hand_back(self) -> None:
        """In a process that this one forks: Ctrl-C does what it does in a script."""
        if signal.getsignal(signal.SIGINT) == self._interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _wait(self, descriptor: int) -> None:
        watched = poll()
        watched.register(descriptor, POLLRDHUP)
        watched.poll()
        if self.patience == 0:
            os._exit(0)  # whatever the process is doing
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        if self.patience is not None:
            time.sleep(self.patience)
            os._exit(0)


_SOON = 1.0
"""Seconds."""


def _hands_over(frame: FrameType | None) -> bool:
    """Whether the code at `frame` takes a file's descriptor, such as a batch's, from a child of its own.

    An interruption there would leave the child in the middle of it, whose thread then prints a traceback.
    """
    while frame is not None and not frame.f_code.co_filename.endswith("/multiprocessing/resource_sharer.py"):
        frame = frame.f_back
    return frame is not None


END = End()
"""Of this process, if it is a forked one."""
_WORDS = "words-"
"""How the files begin in which processes leave words."""


def words_in(folder: Path) -> list[str]:
    """The lines that processes have left in `folder` at their ends."""
    with suppress(OSError):
        return [line for file in sorted(folder.glob(f"{_WORDS}*")) for line in file.read_text("utf-8").splitlines()]
    return []


def leave(status: int = 0) -> None:
    """End this process as the interpreter does: wait for its threads, call what `atexit` has registered.

    Modules are not torn down, which takes longer, and may crash in compiled code.
    """
    for last in (threading._shutdown, atexit._run_exitfuncs):  # type: ignore[attr-defined] # Python's own
        with suppress(BaseException):  # `atexit` has said what its functions raised
            last()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


class StdinEnds:
    """Notices amid an import that stdin can be read. The import may take longer than anybody waits for this process."""

    class _Heard(BaseException): ...

    def __init__(self) -> None:
        self._listens = False
        signal.signal(signal.SIGIO, self._interrupt)
        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._listens:
            self._listens = False
            raise self._Heard

    def cuts_short(self, work: Callable[[], object]) -> None:
        """Call `work`, and leave it as soon as stdin can be read."""
        try:
            self._listens = True
            if not wait([0], 0):
                work()
        except self._Heard:
            pass
        finally:
            self._listens = False
