"""A watch on Ray's own servers on this machine. A dead server is noticed at once and can be replaced."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from select import POLLIN, poll
from typing import Any

from search.engine.processes.signals import handled
from search.engine.ray.patches import servers


@contextmanager
def watched() -> Iterator[list[str]]:
    """Raise KeyboardInterrupt in this thread, the main one, as soon as a server dies. The list then names the server.

    Ray waits a minute for its control store, and then ends the whole process. Every call to that store waits as long.
    Ray's compiled code lets only KeyboardInterrupt through. If this process has started no servers, because it uses
    another's, none are watched.
    """
    mine = servers()
    found: list[str] = []
    main = threading.get_ident()
    over, end = os.pipe()

    def interrupt(*_: Any) -> None:
        if found:
            raise KeyboardInterrupt

    def watch() -> None:
        with ExitStack() as stack:
            watched, names = poll(), {}
            watched.register(over, POLLIN)
            for pid, word in mine.items():
                try:
                    descriptor = os.pidfd_open(pid)
                except ProcessLookupError:
                    found.append(word)
                    continue
                stack.callback(os.close, descriptor)
                watched.register(descriptor, POLLIN)
                names[descriptor] = word
            while True:
                ready = [descriptor for descriptor, _ in watched.poll(1000 if found else None)]
                if over in ready:
                    return
                for descriptor in ready:
                    found.append(names[descriptor])
                    watched.unregister(descriptor)
                signal.pthread_kill(main, signal.SIGUSR2)  # again each second, in case Ray has swallowed it

    with handled(interrupt, signal.SIGUSR2):
        watcher = threading.Thread(target=watch, name="ray's servers", daemon=True)
        watcher.start()
        try:
            yield found
        finally:
            os.close(end)
            watcher.join()
            os.close(over)
