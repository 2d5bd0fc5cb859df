"""The command, the options that several verbs take, and what their words mean."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from search.commands.units import bytes, cluster
from search.errors import Interrupted, SearchError, first_line
from search.files import locations

app = typer.Typer(
    help="Hyperparameter search for people who fine-tune image classifiers.\n\n"
    "Write a space file, run it, read the ranked table, train the best config again:\n\n"
    "  search run spaces/digits.py\n\n  search train reports/digits.best.yaml\n\n"
    "Exit status: 0 done; 1 the run failed; 2 the words or the space file are wrong; 3 the storage or the disk; "
    "130 interrupted, 143 terminated: the same command goes on.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_FROM_FILE = "--storage-file"


def _read_url(context: typer.Context, file: Path | None) -> Path | None:
    """Keep the URL in `file` for `_chosen_url`, which comes later. Raises SearchError."""
    if file is None:
        return None
    try:
        lines = file.read_text(encoding="utf-8").split()
    except (OSError, ValueError) as error:
        raise SearchError(f"--storage-file {file}: cannot be read: {first_line(error)}") from None
    if len(lines) != 1:
        raise SearchError(f"--storage-file {file}: it shall hold one storage URL and nothing else")
    context.meta[_FROM_FILE] = lines[0]
    return file


def _chosen_url(context: typer.Context, url: str) -> str:
    """The storage's URL: that of --storage-file, if it is given. Raises SearchError if both are."""
    found = context.meta.get(_FROM_FILE)
    if found is None:
        return url
    source = context.get_parameter_source("storage")
    if source is not None and source.name == "COMMANDLINE":
        raise SearchError("--storage and --storage-file: say one of them")
    return str(found)


Storage = Annotated[
    str,
    typer.Option(
        "--storage",
        envvar="SEARCH_STORAGE",
        help="Where studies are kept: an Optuna storage URL.",
        callback=_chosen_url,
    ),
]
StorageFile = Annotated[
    Path | None,
    typer.Option(
        "--storage-file",
        help="A file that holds the storage's URL, to keep its password out of history and process list.",
        is_eager=True,  # before --storage, which it replaces
        callback=_read_url,
    ),
]
DataRoot = Annotated[
    Path, typer.Option("--data-root", envvar="SEARCH_DATA_ROOT", help="The folder that holds the data sets.")
]
Reports = Annotated[Path, typer.Option("--reports", help="The folder that reports are written to.")]
StudyName = Annotated[
    str, typer.Argument(metavar="STUDY", help="The study's name; of `search run`, the space file's stem.")
]
CacheSize = Annotated[
    str,
    typer.Option(
        "--cache-size",
        envvar="SEARCH_CACHE_SIZE",
        help="Disk for what frozen layers make of the images, computed once for all trials: 500M, 20G; 0 keeps none.",
    ),
]
SpacePath = Annotated[Path, typer.Argument(metavar="SPACE", help="The space file, such as spaces/digits.py.")]
Json = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print its rows as CSV.")]
Epochs = Annotated[int | None, typer.Option(help="Short for --set epochs=N.")]
Subset = Annotated[
    int | None, typer.Option(help="Short for --set subset=N: train on N images, to search broadly first.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Fix a setting; a Choice by its option's label."),
]
Name = Annotated[str | None, typer.Option(help="The study's name. [default: the space file's stem]")]
Cpus = Annotated[
    float | None,
    typer.Option("--cpus-per-trial", min=0, max=99999, help="CPUs of one trial. [default: 1, or its GPU's share]"),
]
EngineName = Annotated[
    Literal["tune", "inline"],
    typer.Option("--engine", help="tune: Ray Tune, trials side by side; inline: one by one in this process."),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="auto|HOST:PORT",
        help="Train on the nodes of a Ray cluster that is there, from one of them; `search submit` from elsewhere.",
    ),
]
RunDir = Annotated[
    str,
    typer.Option(
        "--run-dir",
        metavar="DIR|URL",
        help="The folder for weights and checkpoints, on a cluster one that all nodes share; or a URL such as "
        "s3://bucket/folder.",
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Let Ray talk.")]


def call() -> int:
    """Run the command that was typed; its exit status. Raises SearchError, also for words that it does not know."""
    try:
        return int(app(standalone_mode=False) or 0)
    except typer.TyperException as error:
        said, verb = error.format_message().rstrip(), getattr(error, "ctx", None)
        if "\n" in said:  # nothing was typed, and this is the help
            typer.echo(said, err=True)
            return 2
        more = f"; `{verb.command_path} --help` says what there is" if verb is not None else ""
        said = said.rstrip(".").replace(": Input should", ": it should")  # pydantic's words
        raise SearchError(f"{said[:1].lower()}{said[1:]}{more}") from None


@contextmanager
def ending() -> Iterator[None]:
    """A run that a signal ended in good order exits with its status; typer would take it for one that crashed."""
    try:
        yield
    except Interrupted as stop:
        raise typer.Exit(stop.exit_status) from None


def overrides(set_: list[str] | None, epochs: int | None, subset: int | None) -> list[str]:
    short = {"epochs": epochs, "subset": subset}
    return [*(set_ or []), *(f"{setting}={value}" for setting, value in short.items() if value is not None)]


def written(file: Path, option: str) -> Path:
    """`file`, which can be written. Raises SearchError."""
    if file.is_dir():
        raise SearchError(f"{option} {file}: that is a folder; name the file to write")
    locations.written_to(file.parent, option)
    return file


def read_from(data_root: Path) -> Path:
    """The folder with the data sets, absolute; it need not be there, for some come with a library."""
    if data_root.exists() and not data_root.is_dir():
        raise SearchError(f"--data-root {data_root}: that is a file; name the folder that holds the data sets")
    return data_root.resolve()


def one_format(json: bool, csv: bool) -> bool:
    """Whether a table is to be printed as data, in one format. Raises SearchError."""
    if json and csv:
        raise SearchError("--json and --csv: one of them at a time")
    return json or csv


def means(
    cpus: float | None,
    engine: str,
    address: str | None,
    storage: str,
    data_root: Path,
    reports: Path,
    run_dir: str,
    cache_size: str,
    verbose: bool,
) -> dict[str, Any]:
    """What every verb that trains many trials hands on to its options, LaunchOptions."""
    return {
        "cpus": cpus,
        "engine": engine,
        "address": cluster(address),
        "storage": storage,
        "data_root": read_from(data_root),
        "reports": locations.written_to(reports, "--reports"),
        "run_dir": locations.run_dir(run_dir),
        "cache_size": bytes(cache_size),
        "verbose": verbose,
        "again": same_command(),
    }


def same_command() -> str:
    """The command line that runs now, to be typed again, but for passwords and addresses of notifications."""
    from search.monitoring.notify import hidden
    from search.study.storage.open import redact

    words = ["search"]
    for before, word in pairwise(sys.argv):
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if "--notify" in (before, option):
            word = f"{option}{equals}{hidden(value)}" if equals or before == "--notify" else word
        elif "://" in value:
            word = f"{option}{equals}{redact(value)}"
        words.append(word)
    return shlex.join(words)
