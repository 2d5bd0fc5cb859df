"""`search run`, step by step: check, prepare, open, run, report."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from optuna.study import Study
from rich.console import Console

from search import entry_points
from search.commands.launch_options import RunOptions
from search.commands.steps import first
from search.commands.steps.launch import (
    drive,
    engine_of,
    interruptible,
    last_words,
    opened_study,
    same,
    wait,
    workplace_of,
)
from search.commands.steps.screen import finish, own_console, reported_so_far
from search.data.base import NoTestSplit
from search.engine.base import Engine
from search.engine.callbacks import Callback
from search.engine.driver import Driver
from search.engine.processes import forkserver
from search.engine.retention import weights_of
from search.engine.rules import Rules, Run
from search.errors import Interrupted, SearchError, first_line, option
from search.files import locations
from search.files.atomic import file_name
from search.format import duration, plural
from search.monitoring.notify import Notices
from search.monitoring.progress import Progress
from search.monitoring.tensorboard import KeepCode, KeepPredictions, Notes, TensorBoard
from search.reporting.columns import accuracy
from search.space.file import SpaceFile, load_space
from search.space.space import SearchSpace
from search.study import code, data, test_split
from search.study import study as studies
from search.study.attributes import StudyRecord, TrialRecord, epoch_of, leading, metric_of, value_of
from search.study.ending.stopping import Stopping
from search.study.lease import lease
from search.study.pruner import may_stop
from search.study.sampler import check_chosen, check_constraints
from search.study.start import queue
from search.study.storage import open as storages

if TYPE_CHECKING:
    from search.engine.ray.tune import Tune


def run_search(options: RunOptions) -> Study:
    """Run a search from its words to its report. Raises SearchError for what is wrong, Interrupted."""
    start, console = time.monotonic(), own_console()
    locations.written_to(options.reports, "reports")
    space = load_space(options.where, options.overrides)
    check_chosen(space)
    stopping = _stopping(space, options, start)
    wanted = _wanted(space, options)
    name = options.name if options.name is not None else space.name
    studies.check_name(name)
    storages.check_storage(options.storage)
    locations.check(options.run_dir)
    notices = Notices(options.notify)
    points = queue.best_points(options.storage, options.source, name, space) if options.source is not None else None
    again, told = f"; to go on: {same()}", RunNotification(notices, name, start, console)
    with told, storages.storage_errors(options.storage, again), interruptible(again, console) as signalled:
        with _engine(space, wanted, options, console) as (engine, notes, found):
            _check_budget(stopping, engine)
            told.study = study = opened_study(options, name, space)
            check_constraints(space, study)
            with lease(study) as ours:
                notes += [*data.settle(study, found), *code.changes(study, space), *code.unread(space)]
                studies.requeue(study)
                first.introduce(study, space, points, notes, console)
                progress = Progress(console, name)
                doubts = first.begin(study, space, options.cold or points is not None, console.out, progress.say)
                board = TensorBoard(Path("runs") / file_name(name) / "tensorboard", space.metric)
                code_kept = KeepCode(name, space.path.resolve() if space.train is not None else None)
                callbacks: list[Callback] = [progress, board, KeepPredictions(name), Notes(study), code_kept, *doubts]
                last = partial(last_words, told.__exit__, again)
                run = Run(say=progress.say, ours=ours, signalled=signalled, last_words=last)
                driver = Driver(study, space, _rules(space, options, stopping), callbacks, run)
                progress.attach(driver)
                _note_pruning(driver, space, options, console)
                with reported_so_far(driver, options.reports, console):
                    drive(driver, progress, engine, console, signalled)
                if not options.sealed:
                    _evaluate_winner(driver, engine, console)
        told.report = finish(study, options.reports, board)
        return study


@dataclass
class RunNotification:
    """Sends, when the block ends, how the run ended; not if that was Ctrl-C, by who sits in front of it."""

    notices: Notices
    name: str
    start: float
    console: Console
    study: Study | None = None
    report: Path | None = None

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            word = "ended early" if self.study and StudyRecord(self.study).ended else "done"
        else:  # which may be that the storage is away
            if not isinstance(error, (Exception, Interrupted)) or getattr(error, "exit_status", 1) == 130:
                return
            word = "terminated" if isinstance(error, Interrupted) else "failed"
        # What no SearchError says may hold anything, a password, too.
        why = str(error) if isinstance(error, SearchError) else type(error).__name__ if word == "failed" else ""
        lines = [why, *self._known(), f"report: {self.report.absolute()}" if self.report else ""]
        text = "\n".join(line for line in lines if line)
        for warning in self.notices.send(f"search {self.name}: {word}", text, failed=error is not None):
            self.console.out(warning)

    def _known(self) -> Iterator[str]:
        """The best, the counts, the time; the storage may be what failed."""
        with suppress(Exception):
            if self.study is not None:
                for best in leading(self.study)[:1]:
                    if (value := value_of(best)) is not None:
                        yield f"best {metric_of(self.study)}: {value:.4g}, trial {best.number}"
                counts = Counter(trial.state.name.lower() for trial in self.study.get_trials(deepcopy=False))
                yield f"trials: {', '.join(f'{count} {state}' for state, count in sorted(counts.items()))}"
                yield StudyRecord(self.study).ended or ""
        yield f"took {duration(time.monotonic() - self.start)}"


def _rules(space: SpaceFile, options: RunOptions, stopping: Stopping) -> Rules:
    return Rules(
        trials=options.trials or space.trials,
        stopping=stopping,
        max_failures=options.max_failures,
        audit=options.audit,
        run_dir=options.run_dir,
    )


def _stopping(space: SpaceFile, options: RunOptions, start: float) -> Stopping:
    """What may end the run, which began at `start`, before all trials. Raises SearchError for what never can."""
    deadline = start + options.timeout if options.timeout else math.inf
    maximize = space.direction == "maximize"
    for name, value in {"until": options.until, "patience": options.patience, "audit": options.audit or None}.items():
        if space.further and value is not None:
            raise SearchError(f"{option(name, value)} is for one metric; this space has {', '.join(space.goals)}")
    if space.metric == "val_acc" and maximize and options.until is not None and options.until > 1:
        said = option("until", f"{options.until:g}")
        raise SearchError(f"{said}: val_acc is a fraction, at most 1; write 95% as 0.95")
    return Stopping(deadline, options.budget, options.until, options.patience, maximize)


def _check_budget(stopping: Stopping, engine: Engine) -> None:
    """Raise SearchError if the trials would never spend the budget."""
    if stopping.budget is not None and stopping.budget.device == "gpu" and engine.workplace.device != "cuda":
        other = option("budget", f"{stopping.budget.hours:g}cpuh")
        raise SearchError(f"{option('budget', stopping.budget)}: the trials take no GPU here; {other} counts CPU time")


def _note_pruning(driver: Driver, space: SpaceFile, options: RunOptions, console: Console) -> None:
    """Say so where the default prunes nothing, for which reason, and where nothing can be audited."""
    study = driver.study
    if driver.finished or may_stop(study.pruner, space.epochs):
        return
    if options.audit:
        audit = option("audit", f"{options.audit:g}")
        console.out(f"{audit}: the study's pruner never stops a trial, so there is nothing to audit")
    elif space.pruner is None and (why := studies.why_unpruned(space)):
        console.out(f"no trial is pruned: {why}")
    elif space.pruner is None and space.epochs is not None:
        console.out(f"no trial is pruned: trials of {plural(space.epochs, 'epoch')} are too short for {study.pruner}")


def _evaluate_winner(driver: Driver, engine: Engine, console: Console) -> None:
    """Evaluate the winner once on the test split; a train() in the space file leaves no weights for it."""
    study = driver.study
    leader = driver.retention.leader
    if leader is None or not driver.retention.weights or str(leader[1]) in test_split.of(study):
        return
    winner = leading(study)[0]
    path = weights_of(study.study_name, winner.number, driver.retention.run_dir)
    place, where = engine.workplace, f"trial {winner.number}"
    if not locations.is_file(path):
        said = "its weights are not here, so it is not evaluated on the test split; `search train` does it"
    else:
        what = (path, TrialRecord(winner).config, Path(place.data_root), place.device, place.cache_size)
        try:
            test_acc, images = engine.call(entry_points.EVALUATE_TEST, *what)
        except NoTestSplit:  # as the first lines say
            return
        except (SearchError, RuntimeError, MemoryError) as error:  # the search has its result
            said = f"the test split could not be evaluated: {first_line(error)}"
        else:
            test_split.record(study, winner.number, test_acc, images, epoch_of(winner).get("val_acc"))
            said = f"test accuracy {accuracy(test_acc, images)}, evaluated once with its weights of the last epoch"
    console.out(f"{where}: {said}")


def _wanted(space: SpaceFile, options: RunOptions) -> dict[str, Any]:
    """The CPUs and GPUs of a trial, as far as somebody says; the command's words go before the file's."""
    asked = (("cpus", options.cpus_per_trial), ("gpus", options.gpus_per_trial))
    wanted = {**space.resources, **{name: value for name, value in asked if value is not None}}
    if options.address is not None and wanted.get("gpus") == "auto":
        said = f"measures a GPU of this machine; with {option('address')}, say a number"
        raise SearchError(f"{option('gpus_per_trial', 'auto')} {said}")
    if space.train and wanted.get("gpus") == "auto":
        raise SearchError(
            f"{option('gpus_per_trial', 'auto')} measures the built-in training; "
            "with a train() of your own, say a number"
        )
    return wanted


@contextmanager
def _engine(
    space: SpaceFile, wanted: dict[str, Any], options: RunOptions, console: Console
) -> Iterator[tuple[Engine, list[str], data.Found]]:
    """What runs the trials, lines about it, and the data, once the space is checked and its images are decoded."""
    own_train = str(space.path.resolve()) if space.train else None
    workplace = workplace_of(options, own_train=own_train, patience=options.trial_timeout)
    given = options.where
    source = given if isinstance(given, SearchSpace) else str(space.path)
    what = (source, list(options.overrides), options.data_root)
    known = space.space.combinations(("model",)) if isinstance(space.space, SearchSpace) else ()
    models = None if own_train else {settings["model"] for settings in known}
    check = None if own_train else (entry_points.CHECK_SPACE, *what)
    travels = None if isinstance(source, SearchSpace) else space.path
    with engine_of(options, wanted, workplace, check, models, console, travels) as (engine, ready):
        found = data.Found(ready.data, ready.weights, ready.sizes) if ready else data.Found()
        notes = list(ready.notes) if ready else []
        if wanted.get("gpus") == "auto" and options.engine != "inline":
            why = f"{option('gpus_per_trial', 'auto')}: no GPU here to share"
            if engine.workplace.device != "cpu":
                engine, why = _sharing(cast("Tune", engine), what, wanted.get("cpus"), console)
            notes.append(why)
        yield engine, notes, found


def _sharing(engine: Tune, what: tuple[Any, ...], cpus: float | None, console: Console) -> tuple[Tune, str]:
    """The engine with as many trials on a GPU as a measurement says, once its images are decoded; and why so many."""
    place = (engine.workplace.cache_size, engine.cpus_a_gpu, cpus or 1.0)
    measuring = forkserver.Call(engine.fork_server.address, entry_points.CHOOSE_GPU_SHARE, *what, *place)
    trials, why = wait(measuring.result, console)
    return engine.shared(cpus, trials), why
