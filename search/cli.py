"""The `search` command. Heavy imports live inside the verbs, so that --help is instant."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from search.errors import SearchError

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

Storage = Annotated[
    str, typer.Option("--storage", envvar="SEARCH_STORAGE", help="Where studies are kept: an Optuna storage URL.")
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
DEFAULT_STORAGE = "sqlite:///studies.db"


@app.command()
def run(
    space: SpacePath,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials the study shall have, earlier ones included.")
    ] = None,
    epochs: Epochs = None,
    subset: Subset = None,
    set_: Set = None,
    name: Name = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="STUDY", help="Begin with the ten best configs of another study."),
    ] = None,
    timeout: Annotated[
        str | None, typer.Option(help="Stop after so long: 90s, 30m, 2h. The same command goes on.")
    ] = None,
    gpus_per_trial: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER|auto",
            help="GPUs of one trial; 0.25 lets four share one; auto measures how many gain by it. "
            "[default: 1 if there is one]",
        ),
    ] = None,
    cpus_per_trial: Annotated[
        float | None, typer.Option(min=0, help="CPUs of one trial. [default: 1, or its GPU's share]")
    ] = None,
    engine: Annotated[
        Literal["tune", "inline"],
        typer.Option(help="tune: Ray Tune, trials side by side; inline: one by one in this process."),
    ] = "tune",
    storage: Storage = DEFAULT_STORAGE,
    data_root: DataRoot = Path("data"),
    reports: Reports = Path("reports"),
    cache_size: CacheSize = "20G",
    verbose: Annotated[bool, typer.Option("--verbose", help="Let Ray talk.")] = False,
) -> None:
    """Run the search that a space file describes, or go on with it; then write its report and best config."""
    from search.running import Options, run_search

    options = Options(
        space,
        _overrides(set_, epochs, subset),
        trials,
        name,
        from_,
        _seconds(timeout),
        _gpus(gpus_per_trial),
        cpus_per_trial,
        engine,
        storage,
        data_root.resolve(),
        reports,
        verbose,
        same_command(),
        _bytes(cache_size),
    )
    raise typer.Exit(run_search(options))


def _overrides(set_: list[str] | None, epochs: int | None, subset: int | None) -> list[str]:
    short = {"epochs": epochs, "subset": subset}
    return [*(set_ or []), *(f"{setting}={value}" for setting, value in short.items() if value is not None)]


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not match or float(match[1]) == 0:
        raise SearchError(f"--timeout {text}: write a time such as 90s, 30m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _gpus(text: str | None) -> float | Literal["auto"] | None:
    if text is None:
        return None
    if text.strip() == "auto":
        return "auto"
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", text.strip()):
        raise SearchError(f"--gpus-per-trial {text}: write a number such as 1 or 0.25, or auto")
    return float(text)


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip().upper())
    if not match:
        raise SearchError(f"--cache-size {text}: write a size such as 500M or 20G")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2] or " "))


@app.command()
def check(
    space: SpacePath,
    epochs: Epochs = None,
    subset: Subset = None,
    set_: Set = None,
    name: Name = None,
    data_root: DataRoot = Path("data"),
) -> None:
    """Look at a space before it costs hours: images, labels, learning rates, memory; exit status 1 if a check fails.

    Pictures go to runs/STUDY/check. The test split is not read.
    """
    from search.check.doctor import check_space

    raise typer.Exit(check_space(space, _overrides(set_, epochs, subset), name, data_root.resolve()))


@app.command()
def report(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    reports: Reports = Path("reports"),
    json: Json = False,
    csv: Csv = False,
) -> None:
    """Write a study's report, reports/STUDY.md, and print its table; or print it as data, and write nothing."""
    from search.report import data, page
    from search.study import load_study, storage_errors

    with storage_errors(storage):
        loaded = load_study(storage, study)
        if json or csv:
            content = data.report(loaded)
            typer.echo(data.to_csv(content["rows"]) if csv else data.to_json(content), nl=not csv)
            return
        path, ranking = page.write_with_table(loaded, reports)
        typer.echo(ranking)
        typer.echo(f"\nwrote {path}")


@app.command()
def status(
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="One study's name. [default: all of the storage]")
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """List the studies of a storage: trials by state, the best, and who runs it now."""
    from search.report import data
    from search.study import load_study, open_storage, storage_errors

    with storage_errors(storage):
        rows = data.status(open_storage(storage), study)
        if study is not None and not rows:
            load_study(storage, study)  # which says what there is
    if json or csv:
        typer.echo(data.to_csv(rows) if csv else data.to_json(rows), nl=not csv)
        return
    from search.report.table import listing

    typer.echo(listing(rows) if rows else "No study yet.")


@app.command(name="import")
def import_(
    table: Annotated[Path, typer.Argument(metavar="TABLE.md", help="Hand-written notes with a Markdown table.")],
    out: Annotated[Path | None, typer.Option(help="The CSV file to write. [default: TABLE.csv, beside it]")] = None,
) -> None:
    """Make a baselines CSV from a hand-written Markdown table, whose columns may stand in any order."""
    from search.notes import import_table

    path = out or table.with_suffix(".csv")
    for line in import_table(table, path):
        typer.echo(line)


@app.command()
def export(
    study: StudyName,
    trial: Annotated[int | None, typer.Option(min=0, help="The trial's number. [default: the best one]")] = None,
    storage: Storage = DEFAULT_STORAGE,
    reports: Reports = Path("reports"),
) -> None:
    """Write a trial's config as YAML, for `search train`."""
    from search.export import write_best
    from search.study import load_study, storage_errors

    with storage_errors(storage):
        typer.echo(f"wrote {write_best(load_study(storage, study), reports, trial)}")


@app.command()
def train(
    best: Annotated[
        Path, typer.Argument(metavar="BEST.yaml", help="A config that `search run` or `search export` wrote.")
    ],
    storage: Storage = DEFAULT_STORAGE,
    data_root: DataRoot = Path("data"),
    cache_size: CacheSize = "20G",
) -> None:
    """Train a best config again from nothing; print validation and, once, test accuracy; write the model beside it."""
    from search.retrain import retrain

    retrain(best, storage, data_root.resolve(), _bytes(cache_size), typer.echo)


def main() -> None:
    """Run the command; whatever the user can mend ends as one line on stderr and an exit status."""
    try:
        app()
    except SearchError as error:
        print(f"search: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        print("\nsearch: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `search report STUDY | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def same_command() -> str:
    """The command line that runs now, to be typed again; the password of a storage is left out."""
    from search.study import redact

    return shlex.join(["search", *(redact(word) if "://" in word else word for word in sys.argv[1:])])
