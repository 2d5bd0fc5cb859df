"""The options of the verbs that train many trials: run, confirm."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from search.commands import units
from search.commands.options import (
    CACHE_SIZE,
    CacheSize,
    DataRoot,
    Help,
    Parsed,
    Reports,
    RunDir,
    SkipBroken,
    SpaceOptions,
    StorageOptions,
    StudyOptions,
    Verbose,
    declared,
)
from search.entry_points import ENGINES
from search.errors import SearchError, option
from search.files.atomic import file_name

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

    from search.space.space import SearchSpace
    from search.study.ending.stopping import Budget

    EngineName = str
else:
    EngineName = Literal[tuple(ENGINES)]


@dataclass(kw_only=True)
class LaunchOptions(StorageOptions):
    """Of a verb that trains many trials: with what, and where to."""

    trains = True

    cpus_per_trial: Annotated[
        float | None, Help("CPUs of one trial. [default: 1, or its GPU's share]", min=0, max=99999)
    ] = None
    engine: Annotated[
        EngineName,
        Help(
            "auto: trials side by side in processes of this machine, and through Ray Tune where it has a GPU or on a "
            "cluster; tune: through Ray Tune; inline: one by one in this process."
        ),
    ] = "auto"
    address: Annotated[
        Parsed[str | None, str | None],
        Help(
            "Train on the nodes of a Ray cluster that is there, from one of them; `search submit` from elsewhere.",
            metavar="auto|HOST:PORT",
        ),
    ] = Parsed(units.cluster, None)
    data_root: DataRoot = Parsed(units.data_root, "data")
    reports: Reports = Parsed(units.path, "reports")
    run_dir: RunDir = Parsed(units.run_dir, "runs")
    cache_size: CacheSize = Parsed(units.bytes, CACHE_SIZE)
    skip_broken: SkipBroken = False
    verbose: Verbose = False


@dataclass(kw_only=True)
class RunOptions(SpaceOptions, LaunchOptions):
    train: Annotated[
        "Callable[[dict[str, Any]], Iterator[dict[str, Any]]] | None",
        Help("A train() of your own, a generator function, for a space that is in no file.", python=True),
    ] = None
    metric: Annotated[
        str | None, Help("What is ranked, for a space that is in no file. [default: val_acc]", python=True)
    ] = None
    direction: Annotated[str | None, Help("maximize or minimize, for a space that is in no file.", python=True)] = None
    sampler: Annotated["BaseSampler | None", Help("Optuna's, for a space that is in no file.", python=True)] = None
    pruner: Annotated["BasePruner | None", Help("Optuna's, for a space that is in no file.", python=True)] = None
    callbacks: Annotated[
        "Sequence[Callable[[Any, Any], object]] | None",
        Help("Functions of a study and a trial, called after each trial, for a space that is in no file.", python=True),
    ] = None
    trials: Annotated[int | None, Help("Trials the study shall have, earlier ones included.", min=1)] = None
    source: Annotated[str | None, Help("Begin with the ten best configs of another study.", metavar="STUDY")] = None
    cold: Annotated[
        bool, Help("Begin a new study without what the other studies of the storage know of good points.")
    ] = False
    extend: Annotated[
        bool, Help("Go on with a study whose space was another, if each of its trials is a point of this one.")
    ] = False
    timeout: Annotated[
        Parsed[str | float | None, float | None],
        Help("Stop after so long: 90s, 30m, 2h. The same command goes on.", word=str),
    ] = Parsed(units.seconds, None)
    budget: Annotated[
        Parsed[str | None, "Budget | None"],
        Help(
            "Stop when the study's trials, of earlier runs, too, have trained for so long: 4gpuh, 90gpum, 16cpuh.",
            metavar="TIME",
        ),
    ] = Parsed(units.budget, None)
    until: Annotated[
        Parsed[float | None, float | None],
        Help("Stop when a completed trial's metric is so good.", metavar="VALUE"),
    ] = Parsed(units.finite, None)
    patience: Annotated[
        Parsed[int | str | None, int | Literal["auto"] | None],
        Help(
            "Ask for no more trials when so many have ended, failed ones not counted, since the best one. "
            "auto: when 16 more would hardly gain anything.",
            metavar="TRIALS",
            word=str,
        ),
    ] = Parsed(units.patience, None)
    notify: Annotated[
        Sequence[str],
        Help(
            "Whom to tell when the run ends or fails: an address as apprise has it; several: again, or, in the "
            "variable, by spaces.",
            metavar="URL",
            envvar="SEARCH_NOTIFY",
            word=list[str],
        ),
    ] = ()
    trial_timeout: Annotated[
        Parsed[str | float | None, float | None],
        Help("Fail a trial that reports no epoch for so long, and replace its worker.", word=str),
    ] = Parsed(units.seconds, None)
    max_failures: Annotated[
        int, Help("Stop when so many trials in a row failed, not counting diverged ones; 0: never.", min=0)
    ] = 10
    gpus_per_trial: Annotated[
        Parsed[float | str | None, float | Literal["auto"] | None],
        Help(
            "GPUs of one trial; 0.25 lets four share one, 2 trains each on two; auto measures how many gain by it. "
            "[default: 1 if there is one]",
            metavar="NUMBER|auto",
            word=str,
        ),
    ] = Parsed(units.gpus, None)
    audit: Annotated[
        float, Help("Share of the trials to be pruned that run to their end, to judge the pruner.", min=0, max=1)
    ] = 0.0
    sealed: Annotated[bool, Help("In the end, do not look at the test split with the winner's weights.")] = False

    @cached_property
    def where(self) -> "Path | SearchSpace":  # once, for it writes
        """The space file, or the space; with what only a file can have, a file is written. Raises SearchError."""
        said = [described.field.name for described in declared(type(self)) if described.help.python]
        names = {name: getattr(self, name) for name in said if getattr(self, name) is not None}
        if isinstance(self.space, (str, Path)):
            for name in names:
                raise SearchError(f"{option(name)} is for a space that is in no file; say it in {self.space}")
        if not names and not callable(self.space):
            return super().where
        if self.name is None:
            raise SearchError('a space has no file to name its study after: give it a name="..."')
        from search.space import cells

        path = Path("runs") / file_name(self.name) / "space" / f"{file_name(self.name)}{cells.SUFFIX}"
        cells.write(path, {"space": self.space, **names})
        return path


@dataclass(kw_only=True)
class ConfirmOptions(StudyOptions, LaunchOptions):
    top: Annotated[int, Help("How many of the best trials.", min=1)] = 3
    trial: Annotated[
        Parsed[int | Sequence[int], Sequence[int]],
        Help("Another trial, by its number, beside the best; several: again.", metavar="NUMBER", word=list[int]),
    ] = Parsed(units.numbers, ())
    ablate: Annotated[
        bool,
        Help(
            "And the best trial with one setting at a time put back to that of the nearest hand-tuned row, which says "
            "what each change is worth."
        ),
    ] = False
    space: Annotated[
        Path | None,
        Help("The space file that the study was made with, where no run in this folder has used it.", word=Path),
    ] = None
    seeds: Annotated[int, Help("New seeds of each, those of earlier calls included.", min=1, max=1000)] = 3
    gpus_per_trial: Annotated[
        float | None,
        Help(
            "GPUs of one trial; 0.25 lets four share one, 2 trains each on two. [default: 1 if there is one]",
            min=0,
            max=99999,
        ),
    ] = None
