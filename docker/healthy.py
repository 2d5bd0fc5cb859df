"""Whether the server that a process is answers: exit status 0 if so. Docker asks it about a container's first process.

    python healthy.py PID

The words of its command line say what it is: Ray's head, a worker of Ray's, or the dashboard. Whatever else runs, such
as a search, serves nothing and ends by itself. It asks on loopback, past any proxy, and needs no secret.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from http.client import HTTPConnection, HTTPException
from itertools import pairwise
from pathlib import Path

TIMEOUT = 5  # seconds


def question(words: Sequence[str]) -> tuple[int, str, Collection[int]] | None:
    """Port, path and the right answers' status of the server that was started with `words`; None: it is none."""
    verbs = [(Path(program).name, verb) for program, verb in pairwise(words)]
    if ("search", "dashboard") in verbs:
        return port(words, "--port", 8080), "/dashboard", (200, 401)  # 401: its guard asks for the secret
    if ("ray", "start") not in verbs:
        return None
    if "--head" in words:
        return port(words, "--dashboard-port", 8265), "/api/gcs_healthz", (200,)
    return port(words, "--dashboard-agent-listen-port", 52365), "/api/local_raylet_healthz", (200,)


def port(words: Sequence[str], option: str, default: int) -> int:
    """The number after `option`, written as --option=N."""
    return next((int(word.partition("=")[2]) for word in words if word.startswith(f"{option}=")), default)


def healthy(words: Sequence[str]) -> bool:
    """Whether the server that was started with `words` answers; true if it is none, false of a process that ended."""
    if not any(words):
        return False
    asked = question(words)
    if asked is None:
        return True
    number, path, right = asked
    connection = HTTPConnection("127.0.0.1", number, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        return connection.getresponse().status in right
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not healthy(Path(f"/proc/{int(sys.argv[1])}/cmdline").read_text().split("\0")))
