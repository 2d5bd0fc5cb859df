"""The verbs that open something in a browser: dashboard, up."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from search.commands.options import Help, StorageOptions, Verbose

if TYPE_CHECKING:
    from search.monitoring.server import Watching


@dataclass(kw_only=True)
class ServerOptions(StorageOptions):
    """Of a verb that serves the dashboard."""

    host: Annotated[str, Help("The address to listen on; other than this machine's own it needs --auth.")] = "127.0.0.1"
    port: Annotated[int | None, Help("[default: 8080, or the next free one; 0: any]", min=0, max=65535)] = None
    auth: Annotated[
        Path | None,
        Help(
            "Ask for the token, or user:password, that the file holds. The environment's SEARCH_AUTH is one itself.",
            metavar="FILE",
        ),
    ] = None
    allowed_host: Annotated[
        Sequence[str],
        Help("One more name that the browser may reach it by, of a proxy.", metavar="NAME", word=list[str]),
    ] = ()
    read_only: Annotated[bool, Help("Refuse whatever would change something.")] = False

    def watching(self, tensorboard: bool) -> "Watching":
        """What the server is to do. Raises SearchError for a secret that cannot be read."""
        from search.monitoring.guard import read_secret
        from search.monitoring.server import Watching

        return Watching(
            host=self.host,
            port=self.port,
            allowed_hosts=self.allowed_host,
            secret=read_secret(self.auth, os.environ.pop("SEARCH_AUTH", None)),
            read_only=self.read_only,
            tensorboard=tensorboard,
        )


@dataclass(kw_only=True)
class DashboardOptions(ServerOptions):
    study: Annotated[str | None, Help("Print the address of this study's page, too.", metavar="[STUDY]")] = field(
        default=None, kw_only=False
    )
    tensorboard: Annotated[bool, Help("Serve TensorBoard, too, on the folder runs.")] = False


@dataclass(kw_only=True)
class UpOptions(ServerOptions):
    jobs_port: Annotated[int, Help("Where `search submit` reaches Ray, on this machine.", min=1, max=65535)] = 8265
    verbose: Verbose = False


def dashboard(options: DashboardOptions) -> None:
    """Open the studies of a storage in the browser: curves, notes, pictures, and a button that stops a trial.

    Ctrl-C ends it, with exit status 0.
    """
    from search.monitoring.server import watch
    from search.study.storage.open import storage_errors

    words = options.watching(options.tensorboard)
    with storage_errors(options.storage):
        watch(options.storage, words, options.study)


def up(options: UpOptions) -> None:
    """Start on this machine what a cluster has: a Ray that takes runs, a storage, the dashboard, TensorBoard.

    Prints where they are and how to hand a run over. Ray listens on loopback and asks for a token. Ctrl-C takes it all
    down, with exit status 0; runs that were submitted first put their trials back in the queue.
    """
    from search.commands.steps.up import serve
    from search.study.storage.open import storage_errors

    words = options.watching(tensorboard=True)
    with storage_errors(options.storage):
        serve(options.storage, words, options.jobs_port, partial(print, flush=True), options.verbose)
