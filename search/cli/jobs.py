"""The verbs for a cluster that runs a search while nobody waits: submit, logs, stop."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.options import SpacePath, app
from search.errors import SearchError
from search.files import locations

if TYPE_CHECKING:
    from search.engine.ray.jobs import Jobs

Head = Annotated[
    str,
    typer.Option(
        "--address",
        envvar="RAY_API_SERVER_ADDRESS",
        metavar="http://HEAD:8265",
        help="Where the cluster's head takes jobs; RAY_AUTH_TOKEN_PATH names the file with the cluster's token.",
    ),
]
JobName = Annotated[str, typer.Argument(metavar="JOB", help="The job's name, as `search submit` printed it.")]
_HERE = "http://127.0.0.1:8265"
_TRAVEL = ("SEARCH_STORAGE", "SEARCH_DATA_ROOT", "SEARCH_CACHE_SIZE")
_SHOWN = "the {} would stand in Ray's list of jobs and in its logs"
_THERE = "set {} where the head is started"
_EXTRA = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(context_settings=_EXTRA)
def submit(
    context: typer.Context,
    space: SpacePath,
    folder: Annotated[
        str,
        typer.Option(
            "--in",
            metavar="DIR",
            help="The folder that the run works in and leaves studies, reports and weights in: "
            "an absolute path, of a folder that all nodes share.",
        ),
    ],
    address: Head = _HERE,
) -> None:
    """Hand `search run SPACE` to a Ray cluster and print the job's name; further options are those of `search run`.

    The space file travels with its folder, and so do SEARCH_STORAGE, SEARCH_DATA_ROOT and SEARCH_CACHE_SIZE. Data do
    not: --data-root names a folder that every node has. Nor do passwords, which Ray would show: --storage-file names a
    file of the cluster's head.
    """
    from search.space.file import load_space

    if not folder.startswith("/"):
        raise SearchError(f"--in {folder}: a job's folder is an absolute path, such as /shared/{space.stem}")
    ours = {name: os.environ[name] for name in _TRAVEL if name in os.environ}
    _check(context.args, ours)
    load_space(space)
    job = _jobs(address).submit(space, folder, context.args, ours)
    more = "" if address == _HERE else f" --address {address}"
    typer.echo(f"job        {job}\nfollow it  search logs {job} --follow{more}\nstop it    search stop {job}{more}")


@app.command()
def logs(
    job: JobName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
    address: Head = _HERE,
) -> None:
    """Print what a submitted run has printed so far; exit status 1 if it failed."""
    name = _name(job)
    raise typer.Exit(0 if _jobs(address).logs(name, lambda text: typer.echo(text, nl=False), follow) else 1)


@app.command()
def stop(job: JobName, address: Head = _HERE) -> None:
    """End a submitted run as Ctrl-C would; submitted again with the same --in, it goes on."""
    name = _name(job)
    ended = _jobs(address).stop(name)
    typer.echo(f"{job} is told to stop" if ended else f"{job} has ended before")


def _check(words: Sequence[str], environment: dict[str, str]) -> None:
    """Raise SearchError for words and variables that a job cannot have, or that Ray would show to others.

    A job's command stands in the head's process list, and both in what its API answers and in its logs.
    """
    from search.study.storage.open import has_password

    if _said(words, "--engine"):
        raise SearchError("--engine: a job trains on its cluster")
    for word in _said(words, "--run-dir"):
        if isinstance(locations.run_dir(word), Path):
            raise SearchError(f"--run-dir {word}: a job keeps everything in --in, or in a bucket: s3://bucket/folder")
    urls, files = _said(words, "--storage"), _said(words, "--storage-file")
    for file in files:
        if not file.startswith("/"):
            raise SearchError(f"--storage-file {file}: the job reads it on the cluster's head, so its path is absolute")
    if _said(words, "--notify"):
        raise SearchError(f"--notify: {_SHOWN.format('address')}; {_THERE.format('SEARCH_NOTIFY')}")
    if urls or files:  # which go before the variable
        environment.pop("SEARCH_STORAGE", None)
    if any(map(has_password, [*urls, environment.get("SEARCH_STORAGE", "")])):
        file = "write the URL into a file on the head that only you may read, for --storage-file"
        raise SearchError(f"--storage: {_SHOWN.format('password')}; {file}, or {_THERE.format('SEARCH_STORAGE')}")


def _said(words: Sequence[str], option: str) -> list[str]:
    """What the words give an option, each time that they have it."""
    after = [value for word, value in pairwise([*words, ""]) if word == option]
    return [*after, *(word.partition("=")[2] for word in words if word.startswith(f"{option}="))]


def _name(job: str) -> str:
    if not re.fullmatch(r"[\w-]+", job):
        raise SearchError(f"job {job!r}: write the name that `search submit` printed")
    return job


def _jobs(address: str) -> Jobs:
    from search.engine.ray.jobs import Jobs

    if not re.fullmatch(r"https?://[\w.\-\[\]:]+(/.*)?", address):
        raise SearchError(f"--address {address}: write it as http://HEAD:8265, where the cluster's head takes jobs")
    return Jobs(address)
