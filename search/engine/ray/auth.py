"""The secret that a Ray asks for, of whoever talks to it: who has it may run code there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch


def made(folder: Path) -> Path:
    """A new secret in `folder`, in a file that nobody else can read: who has it may run code on that Ray."""
    path = folder / "token"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    return path


@contextmanager
def guarded(token: Path) -> Iterator[None]:
    """Ray started or reached in here asks whoever talks to it for the secret in the file `token`.

    Left alone, Ray keeps one secret for all that it ever starts, in a file that everybody may read.
    """
    try:
        with patch.dict(os.environ, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}):
            os.environ.pop("RAY_AUTH_TOKEN", None)  # it would go first
            _authenticate_anew()
            yield
    finally:
        _authenticate_anew()


def brought() -> None:
    """Have Ray send the token from where it looks for one, unless RAY_AUTH_MODE says that there is none."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    _authenticate_anew()


def why_not(error: Exception, otherwise: str) -> str:
    """Why a cluster could not be reached, and the remedy, in one line: `otherwise`, if it is not the token."""
    from ray.exceptions import AuthenticationError

    said = str(error).strip().splitlines()[0].rstrip(".")
    if isinstance(error, AuthenticationError) or "uthenticat" in said or "401" in said:
        return (
            "the cluster's token is needed: RAY_AUTH_TOKEN_PATH names the file that holds it "
            "(RAY_AUTH_MODE=disabled for a cluster without one)"
        )
    return f"{said}; {otherwise}"


def _authenticate_anew() -> None:
    """Have Ray read the environment again, which it does once a process."""
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined] # it is compiled

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()
