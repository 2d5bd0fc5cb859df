"""This process for a while: its signals handled, ignored or held back, its environment changed."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

_owners: dict[int, Any] = {}
"""The handlers that this process had before any of ours, by signal."""


@contextmanager
def handled(handler: Any, *numbers: int) -> Iterator[None]:
    """Give the signals `numbers` to `handler`, and afterwards back to their owners. In a thread, change nothing.

    A process that is forked meanwhile, such as a worker of a pool in the user's code, has the owners' handlers.
    """
    if threading.current_thread() is not threading.main_thread():  # Python lets only the main thread set handlers
        yield
        return
    outermost = {number: signal.getsignal(number) for number in numbers if number not in _owners}
    _owners.update(outermost)
    try:
        with given_back(*numbers):
            for number in numbers:
                signal.signal(number, handler)
            yield
    finally:
        for number in outermost:
            del _owners[number]


@contextmanager
def given_back(*numbers: int) -> Iterator[None]:
    """Handlers of the signals `numbers` that the block sets end with it. In a thread, change nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, owner in before.items():
            if signal.getsignal(number) is not owner:
                signal.signal(number, owner)


_masks: dict[int, Any] = {}
"""The signals that were blocked before a fork, by thread."""


def _hold() -> None:
    """Signals wait while a process is forked: one that came to the child before `_hand_back` would be lost there."""
    _masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, _owners)


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.pop(threading.get_ident()))


def _hand_back() -> None:
    while _owners:
        signal.signal(*_owners.popitem())
    _release()


os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_hand_back)


@contextmanager
def unheard() -> Iterator[None]:
    """Ctrl-C prints no traceback when it arrives in code that cannot raise, or when SQLAlchemy drops a connection.

    The exception is lost there, so the handler of the signal must keep a note of it.
    """
    before, pool = sys.unraisablehook, logging.getLogger("sqlalchemy.pool")
    level = pool.level

    def hook(found: sys.UnraisableHookArgs) -> None:
        if not issubclass(found.exc_type, KeyboardInterrupt):
            before(found)

    sys.unraisablehook = hook
    pool.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        sys.unraisablehook = before
        pool.setLevel(level)


def uninterrupted() -> AbstractContextManager[None]:
    """Ignore Ctrl-C: a second one would leave processes or folders behind."""
    return handled(signal.SIG_IGN, signal.SIGINT)


@contextmanager
def held_back() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM until the end: an exception while Ray starts would leave its processes, or crash."""
    arrived: list[int] = []
    try:
        with handled(lambda number, _: arrived.append(number), signal.SIGINT, signal.SIGTERM):
            yield
    finally:
        if arrived:
            signal.raise_signal(arrived[0])


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """The environment with `variables`; afterwards it is as before, whatever the block has changed."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
