"""The verbs that open something in a browser: dashboard, up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.options import Storage, StorageFile, Verbose, app
from search.commands.units import STORAGE

if TYPE_CHECKING:
    from search.monitoring.server import Watching

Host = Annotated[
    str, typer.Option("--host", help="The address to listen on; other than this machine's own it needs --auth.")
]
Port = Annotated[
    int | None, typer.Option("--port", min=0, max=65535, help="[default: 8080, or the next free one; 0: any]")
]
Auth = Annotated[
    Path | None,
    typer.Option(
        "--auth",
        metavar="FILE",
        help="Ask for the token, or user:password, that the file holds. The environment's SEARCH_AUTH is one itself.",
    ),
]
AllowedHost = Annotated[
    list[str] | None,
    typer.Option("--allowed-host", metavar="NAME", help="One more name that the browser may reach it by, of a proxy."),
]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="Refuse whatever would change something.")]


@app.command()
def dashboard(
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="Print the address of this study's page, too.")
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Serve TensorBoard, too, on the folder runs.")
    ] = False,
    storage: Storage = STORAGE,
    storage_file: StorageFile = None,
    host: Host = "127.0.0.1",
    port: Port = None,
    auth: Auth = None,
    allowed_host: AllowedHost = None,
    read_only: ReadOnly = False,
) -> None:
    """Open the studies of a storage in the browser: curves, notes, pictures, and a button that stops a trial.

    Ctrl-C ends it, with exit status 0.
    """
    from search.monitoring.server import watch
    from search.study.storage.open import storage_errors

    words = _words(host, port, auth, allowed_host, read_only, tensorboard)
    with storage_errors(storage):
        watch(storage, words, study)


@app.command()
def up(
    storage: Storage = STORAGE,
    storage_file: StorageFile = None,
    host: Host = "127.0.0.1",
    port: Port = None,
    jobs_port: Annotated[
        int, typer.Option("--jobs-port", min=1, max=65535, help="Where `search submit` reaches Ray, on this machine.")
    ] = 8265,
    auth: Auth = None,
    allowed_host: AllowedHost = None,
    read_only: ReadOnly = False,
    verbose: Verbose = False,
) -> None:
    """Start on this machine what a cluster has: a Ray that takes runs, a storage, the dashboard, TensorBoard.

    Prints where they are and how to hand a run over. Ray listens on loopback and asks for a token. Ctrl-C takes it all
    down, with exit status 0; runs that were submitted first put their trials back in the queue.
    """
    from search.commands.up import up
    from search.study.storage.open import storage_errors

    words = _words(host, port, auth, allowed_host, read_only, tensorboard=True)
    with storage_errors(storage):
        up(storage, words, jobs_port, typer.echo, verbose)


def _words(
    host: str, port: int | None, auth: Path | None, allowed: list[str] | None, read_only: bool, tensorboard: bool
) -> Watching:
    from search.monitoring.guard import read_secret
    from search.monitoring.server import Watching

    return Watching(
        host=host,
        port=port,
        allowed_hosts=allowed or (),
        secret=read_secret(auth, os.environ.pop("SEARCH_AUTH", None)),
        read_only=read_only,
        tensorboard=tensorboard,
    )
