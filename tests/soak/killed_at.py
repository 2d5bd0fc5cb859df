"""The `search` command, killed at a named point: python killed_at.py POINT NTH FLAG run space.py ...

The point is a call of the storage or a rename, and the kill comes before or after it; or it is amid a transaction.
FLAG is a file that is made when it does.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Engine, event

from search.study.storage.rdb import Storage

Matches = Callable[..., bool]


def told(*states: TrialState) -> Matches:
    return lambda storage, trial_id, state, values=None: state in states


POINTS: dict[str, tuple[Any, str, Matches]] = {
    "ask": (Storage, "_create_new_trial", lambda *args: True),
    "report": (Storage, "record", lambda *args: True),
    "FAIL": (Storage, "set_trial_state_values", told(TrialState.FAIL)),
    "re-queue": (Storage, "set_trial_state_values", told(TrialState.WAITING)),
    "tell": (Storage, "set_trial_state_values", told(TrialState.COMPLETE, TrialState.PRUNED)),
    "export": (os, "replace", lambda part, path: str(path).endswith((".best.yaml", "space.md"))),
}


def arm(point: str, nth: int, flag: Path) -> None:
    """Have this process killed before the nth such call, or after it, as the point's last word says."""
    name, _, when = point.rpartition(" ")
    left = [nth]

    def die() -> None:
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)

    if name == "write":

        @event.listens_for(Engine, "after_cursor_execute")
        def written(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
            left[0] -= statement.startswith(("INSERT", "UPDATE"))
            if not left[0]:
                die()

        return
    owner, method, matches = POINTS[name]
    real = getattr(owner, method)

    def call(*args: Any, **options: Any) -> Any:
        left[0] -= matches(*args, **options)
        now = not left[0] and matches(*args, **options)
        if now and when == "before":
            die()
        result = real(*args, **options)
        if now:
            die()
        return result

    setattr(owner, method, call)


if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
    sys.argv = ["search", *sys.argv[4:]]
    from search.cli import main

    main()
