"""The `search` command. Heavy imports live inside the verbs, so that --help is instant."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from functools import partial
from types import FrameType

from search.cli.verbs import Stopped, app, call
from search.engine.processes.signals import handled
from search.errors import COMMAND_LINE, SearchError, StorageFailed, visible

__all__ = ["app", "main"]


def main() -> None:
    """Run the command; whatever the user can mend ends as one line on stderr and an exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a path may have bytes that are no text
            stream.reconfigure(errors="backslashreplace")
    os.environ[COMMAND_LINE] = "1"
    terminated: list[int] = []
    try:
        with handled(partial(_interrupt, terminated), signal.SIGTERM):
            status = call()
        sys.stdout.flush()
        sys.exit(status)
    except SearchError as error:
        print(f"search: {visible(str(error))}", file=sys.stderr)
        sys.exit(error.exit_status)
    except (KeyboardInterrupt, Stopped):
        print(f"\nsearch: {'terminated' if terminated else 'interrupted'}", file=sys.stderr)
        sys.exit(128 + (signal.SIGTERM if terminated else signal.SIGINT))
    except BrokenPipeError:  # `search report STUDY | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # a disk that is full, a folder that is not ours
        print(f"search: {visible(str(error))}", file=sys.stderr)
        sys.exit(2 if error.errno == errno.ENAMETOOLONG else StorageFailed.exit_status)
    finally:
        del os.environ[COMMAND_LINE]  # in the process of a test or a notebook more may come


def _interrupt(terminated: list[int], number: int, frame: FrameType | None) -> None:
    terminated.append(number)
    raise KeyboardInterrupt
