"""The verbs that train: run, confirm, check, train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import (
    Address,
    CacheSize,
    Cpus,
    DataRoot,
    EngineName,
    Epochs,
    Name,
    Reports,
    RunDir,
    Set,
    SpacePath,
    Storage,
    StorageFile,
    StudyName,
    Subset,
    Verbose,
    app,
    ending,
    means,
    overrides,
    read_from,
)
from search.commands.units import (
    CACHE_SIZE,
    DATA_ROOT,
    MAX_FAILURES,
    REPORTS,
    RUN_DIR,
    SEEDS,
    STORAGE,
    TOP,
    budget,
    bytes,
    finite,
    gpus,
    seconds,
)


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
    budget_: Annotated[
        str | None,
        typer.Option(
            "--budget",
            metavar="TIME",
            help="Stop when the study's trials, of earlier runs, too, have trained for so long: 4gpuh, 90gpum, 16cpuh.",
        ),
    ] = None,
    until: Annotated[
        float | None, typer.Option(metavar="VALUE", help="Stop when a completed trial's metric is so good.")
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            min=1, help="Ask for no more trials when so many have ended, failed ones not counted, since the best one."
        ),
    ] = None,
    notify: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            envvar="SEARCH_NOTIFY",
            help="Whom to tell when the run ends or fails: an address as apprise has it; several: again, or, in the "
            "variable, by spaces.",
        ),
    ] = None,
    trial_timeout: Annotated[
        str | None, typer.Option(help="Fail a trial that reports no epoch for so long, and replace its worker.")
    ] = None,
    max_failures: Annotated[
        int, typer.Option(min=0, help="Stop when so many trials in a row failed, not counting diverged ones; 0: never.")
    ] = MAX_FAILURES,
    gpus_per_trial: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER|auto",
            help="GPUs of one trial; 0.25 lets four share one; auto measures how many gain by it. "
            "[default: 1 if there is one]",
        ),
    ] = None,
    cpus_per_trial: Cpus = None,
    engine: EngineName = "tune",
    address: Address = None,
    audit: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of the trials to be pruned that run to their end, to judge the pruner."),
    ] = 0.0,
    storage: Storage = STORAGE,
    storage_file: StorageFile = None,
    data_root: DataRoot = Path(DATA_ROOT),
    reports: Reports = Path(REPORTS),
    run_dir: RunDir = RUN_DIR,
    cache_size: CacheSize = CACHE_SIZE,
    sealed: Annotated[
        bool, typer.Option("--sealed", help="In the end, do not look at the test split with the winner's weights.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Run the search that a space file describes, or go on with it; then write its report and best config."""
    from search.commands.steps.run import Options, run_search

    options = Options(
        space=space,
        overrides=overrides(set_, epochs, subset),
        trials=trials,
        name=name,
        source=from_,
        timeout=seconds(timeout, "--timeout"),
        budget=budget(budget_),
        until=finite(until, "--until"),
        patience=patience,
        notify=notify or (),
        sealed=sealed,
        trial_timeout=seconds(trial_timeout, "--trial-timeout"),
        max_failures=max_failures,
        audit=audit,
        gpus=gpus(gpus_per_trial),
        **means(cpus_per_trial, engine, address, storage, data_root, reports, run_dir, cache_size, verbose),
    )
    with ending():
        run_search(options)


@app.command()
def confirm(
    study: StudyName,
    top: Annotated[int, typer.Option(min=1, help="How many of the best trials.")] = TOP,
    seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="New seeds of each, those of earlier calls included.")
    ] = SEEDS,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(
            min=0, max=99999, help="GPUs of one trial; 0.25 lets four share one. [default: 1 if there is one]"
        ),
    ] = None,
    cpus_per_trial: Cpus = None,
    engine: EngineName = "tune",
    address: Address = None,
    storage: Storage = STORAGE,
    storage_file: StorageFile = None,
    data_root: DataRoot = Path(DATA_ROOT),
    reports: Reports = Path(REPORTS),
    run_dir: RunDir = RUN_DIR,
    cache_size: CacheSize = CACHE_SIZE,
    verbose: Verbose = False,
) -> None:
    """Train the best trials and the best hand-tuned row again with new seeds, to tell luck from merit.

    The seeds are a study of their own, STUDY.confirm; each looks at the test split once. The same command goes on.
    """
    from search.commands.steps.confirm import Options
    from search.commands.steps.confirm import confirm as confirm_study

    options = Options(
        study=study,
        top=top,
        seeds=seeds,
        gpus=gpus_per_trial,
        **means(cpus_per_trial, engine, address, storage, data_root, reports, run_dir, cache_size, verbose),
    )
    with ending():
        confirm_study(options)


@app.command()
def check(
    space: SpacePath,
    epochs: Epochs = None,
    subset: Subset = None,
    set_: Set = None,
    name: Name = None,
    data_root: DataRoot = Path(DATA_ROOT),
) -> None:
    """Look at a space before it costs hours: images, labels, learning rates, memory; exit status 1 if a check fails.

    Pictures go to runs/STUDY/check. The test split is not read.
    """
    from search.doctor.doctor import check_space

    raise typer.Exit(check_space(space, overrides(set_, epochs, subset), name, read_from(data_root)))


@app.command()
def train(
    best: Annotated[
        Path, typer.Argument(metavar="BEST.yaml", help="A config that `search run` or `search export` wrote.")
    ],
    storage: Storage = STORAGE,
    storage_file: StorageFile = None,
    data_root: DataRoot = Path(DATA_ROOT),
    cache_size: CacheSize = CACHE_SIZE,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Only say whether the number comes out again; exit status 1 if it does not."),
    ] = False,
) -> None:
    """Train a best config again from nothing; print validation and, once, test accuracy; write the model beside it."""
    from search.commands.steps.train import retrain
    from search.study.storage.open import check_storage

    if storage != STORAGE:  # which need not be there
        check_storage(storage)
    again = retrain(best, storage, read_from(data_root), bytes(cache_size), typer.echo, verify)
    raise typer.Exit(0 if again else 1)
