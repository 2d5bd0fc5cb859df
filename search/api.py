"""The commands as functions, for notebooks and scripts: the same words, the same defaults, the same files.

They raise SearchError where the command ends with one line, and KeyboardInterrupt where it is interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from search.commands.units import (
    CACHE_SIZE,
    DATA_ROOT,
    MAX_FAILURES,
    REPORTS,
    RUN_DIR,
    SEEDS,
    STORAGE,
    TOP,
    cluster,
    finite,
    gpus,
    seconds,
)
from search.commands.units import budget as as_budget
from search.commands.units import bytes as as_bytes
from search.errors import SearchError
from search.files.locations import run_dir as as_run_dir

if TYPE_CHECKING:
    from optuna.study import Study

    from search.space.space import SearchSpace

_AGAIN = "the same call"


def run(
    space: str | Path | SearchSpace,
    *,
    name: str | None = None,
    trials: int | None = None,
    set: Mapping[str, Any] | None = None,
    source: str | None = None,
    timeout: str | None = None,
    budget: str | None = None,
    until: float | None = None,
    patience: int | None = None,
    notify: Sequence[str] = (),
    trial_timeout: str | None = None,
    max_failures: int = MAX_FAILURES,
    gpus_per_trial: float | Literal["auto"] | None = None,
    cpus_per_trial: float | None = None,
    engine: Literal["tune", "inline"] = "tune",
    address: str | None = None,
    audit: float = 0.0,
    storage: str = STORAGE,
    data_root: str | Path = DATA_ROOT,
    reports: str | Path = REPORTS,
    run_dir: str | Path = RUN_DIR,
    cache_size: str = CACHE_SIZE,
    sealed: bool = False,
    verbose: bool = False,
) -> Study:
    """`search run`: search, or go on with it, write report and best config; returns the study.

    `space`: a space file, or a SearchSpace, which needs a `name` and is trained by the built-in training. A train() of
    your own goes to other processes, and so it stands with its space in a file. `set`: settings to fix, ``--set``;
    `source`: the study to begin with, ``--from``. Times and budgets are written as the command has them: "2h", "4gpuh".
    Raises SearchError, KeyboardInterrupt; after both the same call goes on.
    """
    from search.commands.steps.run import Options, run_search

    return run_search(
        Options(
            space=_named(space, name, "search.run"),
            overrides=_overrides(set),
            trials=_whole(trials, "trials"),
            name=name,
            source=source,
            timeout=seconds(timeout, "timeout"),
            budget=as_budget(budget),
            until=finite(until, "until"),
            patience=_whole(patience, "patience"),
            notify=notify,
            trial_timeout=seconds(trial_timeout, "trial_timeout"),
            max_failures=max_failures,
            audit=audit,
            sealed=sealed,
            gpus=gpus(None if gpus_per_trial is None else str(gpus_per_trial)),
            cpus=cpus_per_trial,
            engine=engine,
            address=cluster(address),
            storage=storage,
            data_root=Path(data_root).resolve(),
            reports=Path(reports),
            run_dir=as_run_dir(run_dir),
            verbose=verbose,
            again=_AGAIN,
            cache_size=as_bytes(cache_size),
        )
    )


def confirm(
    study: str | Study,
    *,
    top: int = TOP,
    seeds: int = SEEDS,
    gpus_per_trial: float | None = None,
    cpus_per_trial: float | None = None,
    engine: Literal["tune", "inline"] = "tune",
    address: str | None = None,
    storage: str | None = None,
    data_root: str | Path = DATA_ROOT,
    reports: str | Path = REPORTS,
    run_dir: str | Path = RUN_DIR,
    cache_size: str = CACHE_SIZE,
    verbose: bool = False,
) -> Study:
    """`search confirm`: train the leaders again with new seeds; returns the study, whose report has them."""
    from search.commands.steps.confirm import Options
    from search.commands.steps.confirm import confirm as confirm_study

    return confirm_study(
        Options(
            study=study if isinstance(study, str) else study.study_name,
            top=_whole(top, "top") or TOP,
            seeds=_whole(seeds, "seeds") or SEEDS,
            gpus=gpus_per_trial,
            cpus=cpus_per_trial,
            engine=engine,
            address=cluster(address),
            storage=storage or (STORAGE if isinstance(study, str) else _url(study)),
            data_root=Path(data_root).resolve(),
            reports=Path(reports),
            run_dir=as_run_dir(run_dir),
            verbose=verbose,
            again=_AGAIN,
            cache_size=as_bytes(cache_size),
        )
    )


def load_study(name: str, *, storage: str = STORAGE) -> Study:
    """The study of that name, Optuna's own object, to be read. Raises SearchError."""
    from search.study.study import load_study as load

    return load(storage, name)


def report(
    study: str | Study, *, storage: str = STORAGE, reports: str | Path = REPORTS, columns: Sequence[str] = ()
) -> Path:
    """`search report`: write the study's report; returns its path. `columns`: more of them, such as "latency"."""
    from search.analysis.view import StudyView
    from search.monitoring.dashboard import publish
    from search.reporting import page
    from search.reporting.columns import column_names
    from search.study.storage.open import storage_errors

    extra = column_names(",".join(columns))
    with storage_errors(storage):
        loaded = load_study(study, storage=storage) if isinstance(study, str) else study
        view = StudyView(loaded)
        written = page.write(view, Path(reports), extra)
        publish(view, written)
    return written.path


def export(
    study: str | Study, *, trial: int | None = None, storage: str = STORAGE, reports: str | Path = REPORTS
) -> Path:
    """`search export`: write the config of a trial, by default of the best, as YAML; returns its path."""
    from search.commands.steps.export import write_best
    from search.study.storage.open import storage_errors

    with storage_errors(storage):
        loaded = load_study(study, storage=storage) if isinstance(study, str) else study
        return write_best(loaded, Path(reports), trial)


def check(
    space: str | Path | SearchSpace,
    *,
    name: str | None = None,
    set: Mapping[str, Any] | None = None,
    data_root: str | Path = DATA_ROOT,
) -> bool:
    """`search check`: look at a space before it costs hours, and print what is seen; whether no check failed."""
    from search.doctor.doctor import check_space

    return check_space(_named(space, name, "search.check"), _overrides(set), name, Path(data_root).resolve()) == 0


def _named(space: str | Path | SearchSpace, name: str | None, verb: str) -> Path | SearchSpace:
    from search.space.space import SearchSpace

    if isinstance(space, SearchSpace):
        if name is None:
            raise SearchError(f'a SearchSpace has no file to name its study after: {verb}(space, name="...")')
        return space
    if not isinstance(space, (str, Path)):
        raise SearchError(
            f"{verb}: a space is a SearchSpace, or the path of a space file, not a {type(space).__name__}; "
            "space(trial) and a train() of your own stand in a file, which other processes read"
        )
    return Path(space)


def _overrides(settings: Mapping[str, Any] | None) -> list[str]:
    return [f"{name}={value}" for name, value in (settings or {}).items()]


def _whole(value: int | None, name: str) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise SearchError(f"{name}={value!r}: it must be a whole number, 1 or more")
    return value


def _url(study: Study) -> str:
    """Where the study is kept."""
    from search.study.storage import internals  # late: it imports Optuna

    url = getattr(internals.uncached(internals.storage_of(study)), "url", None)
    if not isinstance(url, str):
        raise SearchError("the study is in no storage that other processes can open: storage=...")
    return url
