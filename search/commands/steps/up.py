"""What a cluster's machines run, all on this one: a Ray that takes jobs, a storage, the dashboard and TensorBoard."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shlex import quote

from search.engine.base import EngineFailed
from search.engine.processes import forkserver
from search.engine.processes.signals import environment, handled, unheard
from search.engine.ray import cluster, watchdog
from search.engine.ray.cluster import Head
from search.engine.ray.jobs import Jobs
from search.errors import NothingCompleted
from search.monitoring.server import Server, Watching, check_words
from search.study.storage import open as storages


def serve(storage: str, words: Watching, jobs_port: int, say: Callable[[str], None], verbose: bool = False) -> None:
    """Serve until Ctrl-C or SIGTERM; then end the runs that were submitted, as `search stop` does, and all the rest.

    `storage`: made if it is not there, and what submitted runs use unless they name another. `say`: called with what
    the user reads. Raises SearchError, NothingCompleted if Ray does not start or breaks down.
    """
    opened = storages.connect(storage)
    for_runs = environment(SEARCH_STORAGE=storages.absolute(storage))  # Ray's processes have it from here
    with for_runs, handled(signal.default_int_handler, signal.SIGINT, signal.SIGTERM), unheard():
        check_words(words)
        cluster.check_head(jobs_port)  # the server takes seconds to start
        server = Server(opened, words)
        try:
            with (
                forkserver.run_fork_server(verbose=verbose) as home,
                cluster.head(home.folder, jobs_port, verbose) as head,
                watchdog.watched() as dead,
            ):
                jobs = Jobs(head.jobs)
                with suppress(KeyboardInterrupt):  # the server takes it itself, once it runs
                    say("\n".join([*server.addresses(tensorboard=words.tensorboard), *_lines(head), "Ctrl-C ends it."]))
                    server.run()
                if dead:
                    raise NothingCompleted(f"Ray's {' and '.join(dead)} died; `search up` starts another")
                _end(jobs, say)
        except EngineFailed as error:
            raise NothingCompleted(str(error)) from error
        finally:
            server.close()


def _lines(head: Head) -> list[str]:
    here = quote(str(Path.cwd()))
    return [
        f"Ray          {head.jobs}",
        "",
        "In another terminal:",
        f"  export RAY_AUTH_TOKEN_PATH={head.token}",
        f"  search submit SPACE --in {here} --address {head.jobs}",
        f"  search run SPACE --address {head.address}",
        "",
    ]


def _end(jobs: Jobs, say: Callable[[str], None]) -> None:
    """Have the runs put their trials back in the queue; who presses Ctrl-C again does not wait for them."""
    try:
        running = jobs.running()
        if running:
            say(f"{', '.join(running)}: told to stop; submitted again, {'they go' if running[1:] else 'it goes'} on")
            jobs.end(running)
    except KeyboardInterrupt:
        say("not waited for; what they trained goes back in the queue when they are submitted again")
