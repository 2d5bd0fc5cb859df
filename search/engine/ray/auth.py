"""The token that every client of Ray must send. Its owner may run code in the cluster."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.engine.processes.signals import environment
from search.engine.ray import patches
from search.errors import first_line


def new_token(folder: Path) -> Path:
    """Write a new token into a file in `folder` that only its owner can read. Returns the file's path."""
    path = folder / "token"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    return path


@contextmanager
def token_required(token: Path) -> Iterator[None]:
    """A Ray that is started or reached in the block uses the token in the file `token`.

    By default, Ray keeps one token for all clusters, in a file that everybody can read.
    """
    try:
        with environment(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token)):
            os.environ.pop("RAY_AUTH_TOKEN", None)  # Ray would prefer it
            patches.read_token_again()
            yield
    finally:
        patches.read_token_again()


def send_token() -> None:
    """Make Ray send the token that its environment names, unless RAY_AUTH_MODE says that there is none."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    patches.read_token_again()


def why_not(error: Exception, otherwise: str) -> str:
    """One line for an `error` of Ray: the reason why a cluster was not reached, and the remedy.

    `otherwise`: the remedy where the token is not the reason.
    """
    from ray.exceptions import AuthenticationError

    said = str(error).strip().splitlines()[0].rstrip(".")
    if isinstance(error, AuthenticationError) or "uthenticat" in said or "401" in said:
        return _token_here()
    return f"{said}; {otherwise}"


def _token_here() -> str:
    """What is wrong with the token that this process has, in one line."""
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if not path:
        return (
            "the cluster's token is needed: RAY_AUTH_TOKEN_PATH names the file that holds it "
            "(RAY_AUTH_MODE=disabled for a cluster without one)"
        )
    try:
        empty = not Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        return f"RAY_AUTH_TOKEN_PATH={path}: the token cannot be read: {first_line(error)}"
    wrong = "it is empty" if empty else "its token is refused; it is that of another cluster, or of an earlier start"
    return f"RAY_AUTH_TOKEN_PATH={path}: {wrong}"
