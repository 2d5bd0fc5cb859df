"""The verbs for a cluster that runs a search while nobody waits: submit, jobs, logs, stop."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from search.commands import units
from search.commands.options import Help, Options
from search.commands.report import DataFormat
from search.errors import SUBMITTED, SearchError, option

if TYPE_CHECKING:
    from search.engine.ray.jobs import Jobs

_HERE = "http://127.0.0.1:8265"
_VARIABLE = "RAY_API_SERVER_ADDRESS"
_TRAVEL = ("SEARCH_STORAGE", "SEARCH_DATA_ROOT", "SEARCH_CACHE_SIZE")
_SHOWN = "the {} would stand in Ray's list of jobs and in its logs"
_THERE = "set {} where the head is started"


@dataclass(kw_only=True)
class ClusterOptions(Options):
    """Of a verb that speaks to a cluster's head."""

    address: Annotated[
        str,
        Help(
            "Where the cluster's head takes jobs; RAY_AUTH_TOKEN_PATH names the file with the cluster's token.",
            metavar="http://HEAD:8265",
            envvar=_VARIABLE,
        ),
    ] = _HERE

    def jobs(self) -> "Jobs":
        from search.engine.ray.jobs import Jobs

        if not re.fullmatch(r"https?://[\w.\-\[\]:]+(/.*)?", self.address):
            where = "write it as http://HEAD:8265, where the cluster's head takes jobs"
            raise SearchError(f"{option('address', self.address)}: {where}")
        return Jobs(self.address)


@dataclass(kw_only=True)
class SubmitOptions(ClusterOptions):
    space: Annotated[Path, Help("The space file, such as spaces/digits.py.", metavar="SPACE")] = field(kw_only=False)
    folder: Annotated[
        str,
        Help(
            "The folder that the run works in and leaves studies, reports and weights in: "
            "an absolute path, of a folder that all nodes share.",
            metavar="DIR",
        ),
    ]
    words: Annotated[Sequence[str], Help("Options of `search run`.", rest=True)] = ()


@dataclass(kw_only=True)
class JobsOptions(ClusterOptions, DataFormat): ...


@dataclass(kw_only=True)
class JobOptions(ClusterOptions):
    job: Annotated[str, Help("The job's name, as `search submit` printed it.", metavar="JOB")] = field(kw_only=False)

    @property
    def name(self) -> str:
        """The job's name. Raises SearchError for what can be none."""
        if not re.fullmatch(r"[\w-]+", self.job):
            raise SearchError(f"job {self.job!r}: write the name that `search submit` printed")
        return self.job


@dataclass(kw_only=True)
class LogsOptions(JobOptions):
    follow: Annotated[bool, Help("Go on until the job ends.", short="-f")] = False


def submit(options: SubmitOptions) -> None:
    """Hand `search run SPACE` to a Ray cluster and print the job's name; further options are those of `search run`.

    The space file travels with its folder, and so do SEARCH_STORAGE, SEARCH_DATA_ROOT and SEARCH_CACHE_SIZE. Data do
    not: --data-root names a folder that every node has. Nor do passwords, which Ray would show: --storage-file names a
    file of the cluster's head.
    """
    from search.commands.steps.launch import same_command
    from search.space.file import load_space

    space, folder, address = options.space, options.folder, options.address
    if not folder.startswith("/"):
        example = f"such as /shared/{space.stem}"
        raise SearchError(f"{option('folder', folder)}: a job's folder is an absolute path, {example}")
    ours = {name: os.environ[name] for name in _TRAVEL if name in os.environ}
    _check(options.words, ours)
    load_space(space)
    job = options.jobs().submit(space, folder, options.words, ours | {SUBMITTED: same_command()})
    more = "" if address == _HERE and _VARIABLE not in os.environ else f" --address {address}"
    print(f"job        {job}\nfollow it  search logs {job} --follow{more}\nstop it    search stop {job}{more}")


def jobs(options: JobsOptions) -> None:
    """List the submitted runs of a cluster, the newest first: name, state, start and end, space file, folder."""
    as_data = options.as_data
    rows = options.jobs().listed()
    if as_data:
        options.print_data(rows, rows)
        return
    from search.reporting.table import listing

    print(listing(rows) if rows else "No job yet.")


def logs(options: LogsOptions) -> bool:
    """Print what a submitted run has printed so far; exit status 1 if it failed."""
    name = options.name
    return options.jobs().logs(name, lambda text: print(text, end="", flush=True), options.follow)


def stop(options: JobOptions) -> None:
    """End a submitted run as Ctrl-C would; submitted again with the same --in, it goes on."""
    name = options.name
    ended = options.jobs().stop(name)
    print(f"{name} is told to stop" if ended else f"{name} has ended before")


def _check(words: Sequence[str], environment: dict[str, str]) -> None:
    """Raise SearchError for words and variables that a job cannot have, or that Ray would show to others.

    A job's command stands in the head's process list, and both in what its API answers and in its logs.
    """
    from search.study.storage.open import has_password

    if _said(words, "--engine"):
        raise SearchError(f"{option('engine')}: a job trains on its cluster")
    for word in _said(words, "--run-dir"):
        if isinstance(units.run_dir(word, "run_dir"), Path):
            where = f"{option('folder')}, or in a bucket: s3://bucket/folder"
            raise SearchError(f"{option('run_dir', word)}: a job keeps everything in {where}")
    urls, files = _said(words, "--storage"), _said(words, "--storage-file")
    for file in files:
        if not file.startswith("/"):
            why = "the job reads it on the cluster's head, so its path is absolute"
            raise SearchError(f"{option('storage_file', file)}: {why}")
    if _said(words, "--notify"):
        raise SearchError(f"{option('notify')}: {_SHOWN.format('address')}; {_THERE.format('SEARCH_NOTIFY')}")
    if urls or files:  # which go before the variable
        environment.pop("SEARCH_STORAGE", None)
    if any(map(has_password, [*urls, environment.get("SEARCH_STORAGE", "")])):
        file = f"write the URL into a file on the head that only you may read, for {option('storage_file')}"
        raise SearchError(
            f"{option('storage')}: {_SHOWN.format('password')}; {file}, or {_THERE.format('SEARCH_STORAGE')}"
        )


def _said(words: Sequence[str], option: str) -> list[str]:
    """What the words give an option, each time that they have it."""
    after = [value for word, value in pairwise([*words, ""]) if word == option]
    return [*after, *(word.partition("=")[2] for word in words if word.startswith(f"{option}="))]
