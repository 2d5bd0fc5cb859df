"""`search run`, step by step: check, prepare, open, run, report."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal, cast

from optuna.study import Study
from optuna.trial import TrialState
from rich.console import Console
from rich.progress import Progress as Bar

from search import dashboard, kept, looks, queue
from search import study as studies
from search.engine import nursery
from search.engine.contract import Engine, EngineFailed, Hopeless, Listener, OutOfTime
from search.engine.driver import Driver
from search.engine.scratch import handled
from search.engine.worker import Workplace
from search.errors import NothingCompleted, SearchError, first_line
from search.files import file_name
from search.monitor import Correctness, Notes, TensorBoard
from search.progress import Progress
from search.pruner import may_stop
from search.report.columns import accuracy
from search.space import SearchSpace
from search.spacefile import SpaceFile, load_space

if TYPE_CHECKING:
    from search.engine.tune import Tune

# By name: the process of the run itself never imports torch, and so starts in a second.
_CHECK = "search.check.preflight:ready"
_TEST = "search.train.trainer:evaluate_kept"
_CHOOSE = "search.check.share:choose"
_PRELOAD = ("search.check.preflight", "search.train.trainer", "torch._dynamo")  # the last by every first optimizer step
_SMALL_MODELS = ({"cnn"}, {"mlp"}, {"cnn", "mlp"})
"""What a space may search without torchvision, whose import takes longer than a short search of these."""


@dataclass(frozen=True, kw_only=True)
class Means:
    """The words of a verb that trains many trials: with what, and where to."""

    gpus: float | Literal["auto"] | None
    cpus: float | None
    engine: str
    storage: str
    data_root: Path
    reports: Path
    verbose: bool
    again: str
    cache_size: int


@dataclass(frozen=True, kw_only=True)
class Options(Means):
    """The words of `search run`."""

    space: Path
    overrides: Sequence[str]
    trials: int | None
    name: str | None
    source: str | None
    timeout: float | None
    trial_timeout: float | None
    max_failures: int
    audit: float
    sealed: bool


def run_search(options: Options) -> int:
    """Run a search from its words to its report; returns the exit status. Raises SearchError for what is wrong."""
    deadline = time.monotonic() + options.timeout if options.timeout else math.inf
    console = Console()
    space = load_space(options.space, options.overrides)
    wanted = _wanted(space, options)
    name = options.name if options.name is not None else space.name
    studies.check_name(name)
    studies.check_storage(options.storage)
    points = queue.best_points(options.storage, options.source, name, space) if options.source is not None else None
    again = f"; to go on: {options.again}"
    with studies.storage_errors(options.storage, again), interruptible(again, console) as signalled:
        with _engine(space, wanted, options, console) as engine:
            study = studies.open_study(options.storage, name, space)
            with studies.lease(study):
                studies.requeue(study)
                _fill_queue(study, space, points, console)
                progress = Progress(console, name)
                board = TensorBoard(Path("runs") / file_name(name) / "tensorboard", space.metric)
                listeners: list[Listener] = [progress, board, Correctness(name), Notes(study)]
                _note_audit(study, space, options, console)
                trials, limits = options.trials or space.trials, (options.max_failures, options.audit)
                driver = Driver(study, space, trials, deadline, listeners, signalled, *limits)
                progress.attach(driver)
                status = drive(driver, progress, engine, options, console, signalled)
                if status == 0 and not options.sealed:
                    _look(driver, engine, console)
        if status == 0:
            _finish(study, options, board)
        return status


def _fill_queue(study: Study, space: SpaceFile, points: queue.Points | None, console: Console) -> None:
    """What runs before the sampler's own: interrupted trials, another study's best, hand-tuned rows."""
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    back = sum(bool(trial.params) for trial in waiting)  # the others were queued and never asked
    if back:
        console.print(f"interrupted trials that go on first: {back}", highlight=False)
    if points is not None:  # before the hand-tuned rows, whose results are known
        console.print(queue.queue_points(study, points), highlight=False, markup=False, soft_wrap=True)
    queue.queue_baselines(study, space)


def _note_audit(study: Study, space: SpaceFile, options: Options, console: Console) -> None:
    """Say so where nothing will be pruned, and so nothing audited."""
    epochs = space.space.settings.get("epochs") if isinstance(space.space, SearchSpace) else None
    if options.audit and not may_stop(study.pruner, epochs if isinstance(epochs, int) else None):
        console.print(
            f"--audit {options.audit:g}: the study's pruner never stops a trial, so there is nothing to audit",
            highlight=False,
            soft_wrap=True,
        )


def drive(
    driver: Driver, progress: Progress, engine: Engine, options: Means, console: Console, signalled: list[int]
) -> int:
    """Run the trials; 0, or the exit status of an interruption, after which all that ran is in the queue again."""
    if driver.finished:
        console.print(f"{driver.counts.total()} trials are done already; --trials asks for more", highlight=False)
        return 0
    try:
        console.print(engine.note, highlight=False)
        with progress.shown():
            engine.run(driver)
    except (KeyboardInterrupt, OutOfTime) as stop:
        # The run may have stopped between a change in the storage and the driver's memory of it.
        studies.requeue(driver.study)
        status = 0 if isinstance(stop, OutOfTime) else 128 + (signalled or [signal.SIGINT])[0]
        word = {0: "the time is over", 130: "interrupted"}.get(status, "terminated")
        done = f"{driver.counts.total()} of {driver.trials} trials are done"
        console.print(f"{word}; {done}; to go on: {options.again}", markup=False, highlight=False, soft_wrap=True)
        return status
    except (EngineFailed, Hopeless):
        studies.requeue(driver.study)
        raise
    return 0


def _look(driver: Driver, engine: Engine, console: Console) -> None:
    """Look at the test split with the weights of the winner, once; of a train() of the user's own there are none."""
    study = driver.study
    if driver.leader is None or not driver.keeps or str(driver.leader[1]) in looks.of(study):
        return
    winner = studies.ranked(study)[0]
    path, place, where = kept.place(study.study_name, winner.number), engine.workplace, f"trial {winner.number}"
    if not path.is_file():
        said = "its weights are not here, so the test split was not looked at; `search train` does it"
    else:
        what = (path.absolute(), winner.user_attrs["config"], Path(place.data_root), place.device, place.threads)
        try:
            test_acc, images = engine.call(_TEST, *what)
        except (
            SearchError,
            nursery.Died,
            RuntimeError,
            MemoryError,
        ) as error:  # the search has its result all the same
            said = f"the test split could not be looked at: {first_line(error)}"
        else:
            looks.record(study, winner.number, test_acc, images, studies.epoch_of(winner).get("val_acc"))
            said = f"test accuracy {accuracy(test_acc, images)}, looked at once, with its weights of the last epoch"
    console.print(f"{where}: {said}", markup=False, highlight=False, soft_wrap=True)


def _wanted(space: SpaceFile, options: Options) -> dict[str, Any]:
    """The CPUs and GPUs of a trial, as far as somebody says; the command's words go before the file's."""
    said = (("cpus", options.cpus), ("gpus", options.gpus))
    wanted = {**space.resources, **{name: value for name, value in said if value is not None}}
    if space.train and wanted.get("gpus") == "auto":
        raise SearchError(
            "--gpus-per-trial auto measures the built-in training; with a train() of your own, say a number"
        )
    return wanted


@contextmanager
def _engine(space: SpaceFile, wanted: dict[str, Any], options: Options, console: Console) -> Iterator[Engine]:
    """What runs the trials, once the space is checked and its images are decoded."""
    own_train = str(space.path.resolve()) if space.train else None
    workplace = workplace_of(options, own_train=own_train, patience=options.trial_timeout)
    what = (str(space.path), list(options.overrides), options.data_root)
    known = space.space.combinations(("model",)) if isinstance(space.space, SearchSpace) else ()
    modules = () if own_train else preload({settings["model"] for settings in known})
    check = None if own_train else (_CHECK, *what)
    with engine_of(options, wanted, workplace, check, modules, console) as (engine, note):
        if note:
            console.print(note, markup=False, highlight=False, soft_wrap=True)
        if wanted.get("gpus") == "auto" and options.engine != "inline":
            engine = _sharing(cast("Tune", engine), what, wanted.get("cpus"), console)
        yield engine


def workplace_of(options: Means, **more: Any) -> Workplace:
    """Where the words say that trials run; the engine settles the device."""
    cores = len(os.sched_getaffinity(0))
    return Workplace(str(options.data_root), "auto", cores, cache_size=options.cache_size, **more)


@contextmanager
def engine_of(
    options: Means,
    wanted: dict[str, Any],
    workplace: Workplace,
    check: tuple[Any, ...] | None,
    modules: Sequence[str],
    console: Console,
) -> Iterator[tuple[Engine, Any]]:
    """What runs the trials, and what `check` says, a function of the training side with its arguments that goes first.

    Ray starts while another process imports torch, or `modules`, and checks: each takes about two seconds of a core.
    """
    if options.engine == "inline":
        from search.engine.inline import Inline

        if workplace.patience is not None:
            raise SearchError("--trial-timeout ends a worker's process, and --engine inline has none")
        said = check and _wait(partial(resolve_name(check[0]), *check[1:]), console, "decoding ")
        yield Inline(workplace), said
        return
    with nursery.opened(modules, options.verbose) as forks:
        checking = nursery.Call(forks.address, *check) if check else None
        from search.engine import tune  # late: it takes a second, which the nursery needs for torch

        cpus, gpus = wanted.get("cpus"), wanted.get("gpus")
        with tune.started(forks, workplace, cpus, None if gpus == "auto" else gpus, options.verbose) as engine:
            studies.warm_up()
            yield engine, checking and _wait(checking.result, console, "decoding ")


def _sharing(engine: Tune, what: tuple[Any, ...], cpus: float | None, console: Console) -> Tune:
    """The engine with as many trials on a GPU as a measurement says, once its images are decoded."""
    if not engine.resources.gpus:
        console.print("--gpus-per-trial auto: no GPU here to share", highlight=False)
        return engine
    place = (engine.workplace.cache_size, engine.cpus_a_gpu, cpus or 1.0)
    measuring = nursery.Call(engine.nursery.address, _CHOOSE, *what, *place)
    trials, why = _wait(measuring.result, console)
    console.print(why, markup=False, highlight=False, soft_wrap=True)
    return engine.shared(cpus, trials)


def preload(models: set[str]) -> Sequence[str]:
    """The modules that a process which trains one of `models` needs; none named: any."""
    return _PRELOAD if models in _SMALL_MODELS else ("torchvision.models", *_PRELOAD)


def _wait(work: Callable[[Callable[..., None]], Any], console: Console, verb: str = "") -> Any:
    """What `work` returns; meanwhile a bar, if it has progress to show."""
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", visible=False)

        def advance(what: str, done: int, total: int) -> None:
            bar.update(task, description=f"{verb}{what}", completed=done, total=total, visible=True)

        return work(advance)


def _finish(study: Study, options: Options, board: TensorBoard) -> None:
    """Write report and best config; print the table."""
    from search.export import write_best
    from search.report import page  # late: pandas takes a second to import

    path, ranking = page.write_with_table(study, options.reports)
    dashboard.publish(study, path)
    board.show(dashboard.pictures(path))
    if not studies.ranked(study):
        raise NothingCompleted(f"no trial completed; {path} has the reasons")
    best = write_best(study, options.reports)
    print(f"\n{ranking}\n")
    own = study.user_attrs.get("own_train", False)
    print(f"report       {path}\nbest config  {best}")
    if not own:
        print(f"train it     search train {best}")
    print(f"watch it     optuna-dashboard {studies.redact(options.storage)} --artifact-dir {dashboard.ARTIFACTS}")


@contextmanager
def interruptible(hint: str, console: Console) -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt, and leave their numbers in the list: what raised may be swallowed."""
    signalled: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        signalled.append(number)
        raise KeyboardInterrupt  # Ray's compiled code lets no other exception through

    try:
        with handled(interrupt, signal.SIGINT, signal.SIGTERM):
            yield signalled
    except (EngineFailed, nursery.Died) as error:
        raise NothingCompleted(f"{error}{hint}") from error
    except KeyboardInterrupt:
        console.print(f"interrupted before the first trial{hint}", markup=False, soft_wrap=True)
        raise SystemExit(128 + (signalled or [signal.SIGINT])[0]) from None
