"""A watch on Ray's servers: a dead one of this machine is noticed at once, a silent head after a while."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from select import POLLIN, poll
from typing import Any
from urllib.parse import urlsplit

from search.engine.processes.signals import handled
from search.engine.ray.patches import raylet_here, servers
from search.errors import ClusterFailed

LONGEST = 50.0
"""Seconds for which a head is waited for. Ray's own node on this machine ends after 60, and ends this process."""
NEWS = 5.0
"""Seconds after which the user is told that the head does not answer."""
EVERY = 1.0
"""Seconds between two looks."""
DEAF = 10
"""So often the main thread is interrupted. Some calls of Ray hear nothing, and wait for the head without end."""


class Contact:
    """Asks again and again whether the control store at `address`, written as HOST:PORT, takes connections."""

    def __init__(
        self, address: str, say: Callable[[str], None], last_words: Callable[[str], None] = lambda why: None
    ) -> None:
        """`say`: called with one line for the user. `last_words`: with why this process is ended, where it hangs."""
        self.last_words = last_words
        where = urlsplit(f"//{address}")
        self._where, self._address, self.say = (where.hostname or "", where.port or 0), address, say
        self._heard, self._told = time.monotonic(), False

    def lost(self) -> str:
        """Why the head is given up, or nothing. It takes at most a second."""
        answers = self._answers()
        silent = time.monotonic() - self._heard
        if answers:
            self._heard = time.monotonic()
            if self._told:
                self._told = False
                self.say(f"the cluster's head at {self._address} answers again, after {silent:.0f} s")
            return ""
        if silent > NEWS and not self._told:
            self._told = True
            self.say(f"the cluster's head at {self._address} does not answer; waiting for up to {LONGEST:.0f} s")
        return f"the cluster's head at {self._address} has not answered for {silent:.0f} s" if silent > LONGEST else ""

    def reached(self) -> bool:
        """Whether the head answers now, and has done so all the time."""
        return time.monotonic() - self._heard < 2 * EVERY and self._answers()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(self._where, timeout=EVERY):
                return True
        except OSError:
            return False


class Found(list[str]):
    """What a watch has found."""

    noted = False
    """Whether the thread that is interrupted knows by now, and is left in peace."""


@contextmanager
def watched(contact: Contact | None = None) -> Iterator[Found]:
    """Raise KeyboardInterrupt in this thread, the main one, as soon as a server dies. The list then says which.

    Ray waits a minute for its control store, and then ends the whole process. Every call to that store waits as long.
    Ray's compiled code lets only KeyboardInterrupt through. `contact`: with the head of a cluster that others started.
    It is watched together with the node of this machine.
    """
    found = Found()
    over, end = os.pipe()

    def interrupt(*_: Any) -> None:
        if found and not found.noted:
            raise KeyboardInterrupt

    with handled(interrupt, signal.SIGUSR2):
        watcher = _Watcher(servers() if contact is None else raylet_here(), contact, found, over)
        watcher.start()
        try:
            yield found
        finally:
            os.close(end)
            watcher.join()
            os.close(over)


class _Watcher(threading.Thread):
    """Sends SIGUSR2 to the thread that makes it, once one of `mine` has died or the contact is lost."""

    def __init__(self, mine: dict[int, str], contact: Contact | None, found: Found, over: int) -> None:
        """`mine`: words for each server, by its process. `found`: gets those of the dead. `over`: ends the watch."""
        super().__init__(name="ray's servers", daemon=True)
        self._mine, self._contact, self._found, self._over = mine, contact, found, over
        self._main = threading.get_ident()

    def run(self) -> None:
        with ExitStack() as stack:
            sent = 0
            watched, names = poll(), {}
            watched.register(self._over, POLLIN)
            for pid, word in self._mine.items():
                try:
                    descriptor = os.pidfd_open(pid)
                except ProcessLookupError:
                    self._found.append(word)
                    continue
                stack.callback(os.close, descriptor)
                watched.register(descriptor, POLLIN)
                names[descriptor] = word
            while True:
                often = self._found or self._contact is not None
                ready = [descriptor for descriptor, _ in watched.poll(EVERY * 1000 if often else None)]
                if self._over in ready:
                    return
                for descriptor in ready:
                    self._found.append(names[descriptor])
                    watched.unregister(descriptor)
                if self._contact is not None and not self._found and (why := self._contact.lost()):
                    self._found.append(why)
                if self._found:
                    signal.pthread_kill(self._main, signal.SIGUSR2)  # again each second, in case Ray has swallowed it
                    sent += not self._found.noted
                if sent > DEAF and self._contact is not None:
                    self._contact.last_words(self._found[0])
                    os._exit(ClusterFailed.exit_status)
