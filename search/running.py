"""`search run`, step by step: check, prepare, open, run, report."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from optuna.study import Study
from optuna.trial import TrialState
from rich.console import Console
from rich.progress import Progress as Bar

from search import queue
from search import study as studies
from search.engine.driver import Driver, EngineFailed, Listener, OutOfTime
from search.engine.worker import Workplace
from search.errors import NothingCompleted
from search.files import file_name
from search.monitor import TensorBoard
from search.progress import Progress
from search.spacefile import SpaceFile, load_space


@dataclass(frozen=True)
class Options:
    """The words of `search run`."""

    space: Path
    overrides: Sequence[str]
    trials: int | None
    name: str | None
    source: str | None
    timeout: float | None
    gpus: float | None
    cpus: float | None
    engine: str
    storage: str
    data_root: Path
    reports: Path
    verbose: bool
    again: str
    cache_size: int


def run_search(options: Options) -> int:
    """Run a search from its words to its report; returns the exit status. Raises SearchError for what is wrong."""
    deadline = time.monotonic() + options.timeout if options.timeout else math.inf
    console = Console()
    space = load_space(options.space, options.overrides)
    name = options.name if options.name is not None else space.name
    studies.check_name(name)
    studies.check_storage(options.storage)
    points = queue.best_points(options.storage, options.source, name, space) if options.source is not None else None
    if space.train is None:
        _check_and_prepare(space, options.data_root, console)
    with studies.storage_errors(options.storage, f"; to go on: {options.again}"), _terminable() as signalled:
        study = studies.open_study(options.storage, name, space)
        with studies.lease(study):
            studies.requeue(study)
            waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
            back = sum(bool(trial.params) for trial in waiting)  # the others were queued and never asked
            if back:
                console.print(f"interrupted trials that go on first: {back}", highlight=False)
            if points is not None:  # before the hand-tuned rows, whose results are known
                console.print(queue.queue_points(study, points), highlight=False, markup=False, soft_wrap=True)
            queue.queue_baselines(study, space)
            progress = Progress(console, name)
            listeners: list[Listener] = [progress, TensorBoard(Path("runs") / file_name(name) / "tensorboard")]
            driver = Driver(study, space, options.trials or space.trials, deadline, listeners)
            progress.attach(driver)
            status = _drive(driver, progress, options, console, signalled)
        if status == 0:
            _finish(study, options)
        return status


def _drive(driver: Driver, progress: Progress, options: Options, console: Console, signalled: list[int]) -> int:
    """Run the trials; 0, or the exit status of an interruption, after which all that ran is in the queue again."""
    if driver.finished:
        console.print(f"{driver.counts.total()} trials are done already; --trials asks for more", highlight=False)
        return 0
    try:
        _engine(driver, progress, options, console)
    except (KeyboardInterrupt, OutOfTime) as stop:
        # The run may have stopped between a change in the storage and the driver's memory of it.
        studies.requeue(driver.study)
        status = 0 if isinstance(stop, OutOfTime) else 128 + (signalled or [signal.SIGINT])[0]
        word = {0: "the time is over", 130: "interrupted"}.get(status, "terminated")
        done = f"{driver.counts.total()} of {driver.trials} trials are done"
        console.print(f"{word}; {done}; to go on: {options.again}", markup=False, highlight=False, soft_wrap=True)
        return status
    except EngineFailed as error:
        studies.requeue(driver.study)
        raise NothingCompleted(f"{error}; to go on: {options.again}") from error
    return 0


def _engine(driver: Driver, progress: Progress, options: Options, console: Console) -> None:
    own_train = str(driver.space.path.resolve()) if driver.space.train else None
    cores = len(os.sched_getaffinity(0))
    if options.engine == "inline":
        from search.engine import inline

        console.print(f"one trial at a time, in this process{_device_note(driver, cores)}", highlight=False)
        with progress.shown():
            inline.run(driver, Workplace(str(options.data_root), "auto", cores, own_train, options.cache_size))
        return
    from search.engine import tune

    wanted = dict(driver.space.resources)
    wanted |= {name: value for name, value in (("cpus", options.cpus), ("gpus", options.gpus)) if value is not None}
    with tune.started(options.verbose) as temp:
        resources, slots, threads = tune.plan(wanted.get("cpus"), wanted.get("gpus"))
        where = f"{resources.gpus:g} GPU a trial" if resources.gpus else f"no GPU: training on {cores} CPU cores"
        console.print(f"{where}, {slots} trials side by side, CPU threads of each: {threads}", highlight=False)
        device = "cuda" if resources.gpus else "cpu"
        workplace = Workplace(str(options.data_root), device, threads, own_train, options.cache_size)
        with progress.shown():
            tune.run(driver, workplace, resources, slots, temp)


def _device_note(driver: Driver, cores: int) -> str:
    """What to add where there is no GPU; a train() of the user's own may not care, and need not wait for torch."""
    if driver.space.train is not None:
        return ""
    import torch

    return "" if torch.cuda.is_available() else f"; no GPU: training on {cores} CPU cores"


def _check_and_prepare(space: SpaceFile, data_root: Path, console: Console) -> None:
    """Build every model once, and decode the images, with a bar if there is anything to decode."""
    # late: it imports torch, which a train() of the user's own may have no use for
    from search.check.preflight import preflight, prepare
    from search.data.cache import cache_root
    from search.data.mounts import network_type

    preflight(space, data_root)
    kind = network_type(cache_root())
    if kind:
        note = f"the image cache {cache_root()} is on a network file system ({kind}), and training reads from it: "
        console.print(
            f"{note}XDG_CACHE_HOME=DIR puts it on a local disk", markup=False, highlight=False, soft_wrap=True
        )
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("decoding images", visible=False)

        def advance(dataset: str, done: int, total: int) -> None:
            bar.update(task, description=f"decoding {dataset}", completed=done, total=total, visible=True)

        prepare(space, data_root, advance)


def _finish(study: Study, options: Options) -> None:
    """Write report and best config; print the table."""
    from search.export import write_best
    from search.report import page, table  # late: pandas takes a second to import

    path = page.write(study, options.reports)
    if not studies.ranked(study):
        raise NothingCompleted(f"no trial completed; {path} has the reasons")
    best = write_best(study, options.reports)
    print(f"\n{table.markdown(study)}\n")
    own = study.user_attrs.get("own_train", False)
    print(f"report       {path}\nbest config  {best}")
    if not own:
        print(f"train it     search train {best}")
    print(f"watch it     optuna-dashboard {studies.redact(options.storage)}")


@contextmanager
def _terminable() -> Iterator[list[int]]:
    """SIGTERM ends the run as Ctrl-C does; the list holds its number then."""
    signalled: list[int] = []

    def terminate(number: int, frame: FrameType | None) -> None:
        signalled.append(number)
        raise KeyboardInterrupt  # Ray's compiled code lets no other exception through

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield signalled
    except KeyboardInterrupt:
        if signalled:
            raise SystemExit(128 + signalled[0]) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
