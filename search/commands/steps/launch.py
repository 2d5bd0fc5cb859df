"""What every verb that trains many trials does: an engine, its trials, and an end by Ctrl-C."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from pkgutil import resolve_name
from types import FrameType
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState
from rich.console import Console
from rich.progress import Progress as Bar

from search.engine.base import ClusterLost, Engine, EngineFailed, LimitReached, Setup
from search.engine.driver import Driver
from search.engine.failures import RunAborted
from search.engine.messages import WorkerConfig
from search.engine.processes import forkserver
from search.engine.processes.signals import handled, unheard
from search.entry_points import ENGINES, PRELOAD, PRELOAD_OWN, PRELOAD_RANKS, PRELOAD_TORCHVISION
from search.errors import (
    SUBMITTED,
    ClusterFailed,
    Interrupted,
    NothingCompleted,
    SearchError,
    flag,
    on_command_line,
    option,
)
from search.format import plural
from search.monitoring.notify import hidden
from search.monitoring.progress import Progress
from search.study import study as studies
from search.study.attributes import StudyRecord
from search.study.storage import open as storages
from search.study.storage import retry
from search.study.supply import NO_MORE

if TYPE_CHECKING:
    from optuna.study import Study

    from search.commands.launch_options import LaunchOptions, RunOptions
    from search.space.file import SpaceFile

_SMALL_MODELS = ({"cnn"}, {"mlp"}, {"cnn", "mlp"})
"""What a space may search without torchvision, whose import takes longer than a short search of these."""


LINE_EVERY = 10.0
"""Seconds between two lines of progress where there is no terminal to show a bar."""


def drive(driver: Driver, progress: Progress, engine: Engine, console: Console, signalled: list[int]) -> None:
    """Run the trials. Raises Interrupted, after which all that ran is in the queue again."""
    record = StudyRecord(driver.study)
    if record.ended:
        record.ended = None
    if driver.finished:
        if not _ended(driver, console):
            done = driver.counts.total()
            console.out(f"{plural(done, 'trial', 'is')} done already; {option('trials')} asks for more")
        return
    try:
        console.out(engine.note)
        with progress.shown():
            _train(driver, engine)
    except LimitReached:
        studies.requeue(driver.study)
    except KeyboardInterrupt:
        with suppress(*retry.ERRORS):  # the same command does it, too
            # The run may have stopped between a change in the storage and the driver's memory of it.
            driver.run.ours()
            studies.requeue(driver.study)
        number = (signalled or [signal.SIGINT])[0]
        if driver.counts[TrialState.COMPLETE]:
            console.out(f"the report so far: {_report_of(driver.study.study_name)}")
        _say_end(_word(number), driver, f"to go on: {same()}", console)
        raise Interrupted(number) from None
    except (EngineFailed, RunAborted):
        driver.run.ours()
        studies.requeue(driver.study)
        raise
    _ended(driver, console)


def _train(driver: Driver, engine: Engine) -> None:
    """Run the trials, and tell the callbacks of all that ended, unless the storage is away and the run ends anyway."""
    try:
        engine.run(driver)
    except BaseException as stop:
        if isinstance(stop, KeyboardInterrupt):
            storages.hurry(driver.study)
        with suppress(*retry.ERRORS):
            driver.catch_up()
        raise
    driver.catch_up()
    driver.retention.wait_for_sweep()


def _ended(driver: Driver, console: Console) -> bool:
    """Whether a limit ended the run before its study had all trials; then the user and the study are told which."""
    reached = driver.stopping.reached()
    if reached is None or driver.counts.total() >= driver.trials:
        return False
    StudyRecord(driver.study).ended = reached.why
    change = "" if reached.option in ("timeout", "callback") else f", change {option(reached.option)} in"
    _say_end(reached.why, driver, "" if reached is NO_MORE else f"to go on{change}: {same()}", console)
    return True


def _say_end(why: str, driver: Driver, then: str, console: Console) -> None:
    done = f"{driver.counts.total()} of {plural(driver.trials, 'trial', 'is')} done"
    console.out("; ".join(filter(None, (why, done, then))))


def workplace_of(options: LaunchOptions, **more: Any) -> WorkerConfig:
    """Where the words say that trials run; the engine settles the device."""
    cores = len(os.sched_getaffinity(0))
    return WorkerConfig(str(options.data_root), "auto", cores, cache_size=options.cache_size, **more)


@contextmanager
def engine_of(
    options: LaunchOptions,
    wanted: dict[str, Any],
    workplace: WorkerConfig,
    check: tuple[Any, ...] | None,
    models: set[str] | None,
    console: Console,
    space: Path | None = None,
) -> Iterator[tuple[Engine, Any]]:
    """What runs the trials, and what `check` says, a function of the training side with its arguments that goes first.

    `models`: those that may be trained; none named: any; None: a train() of the space file.
    """
    gpus = wanted.get("gpus")
    if isinstance(gpus, (int, float)) and gpus > 1 and gpus != int(gpus):
        raise SearchError(
            f"{option('gpus_per_trial', f'{gpus:g}')}: a trial takes a part of one GPU, or a whole number of them"
        )
    setup = Setup(
        workplace=workplace,
        cpus=wanted.get("cpus"),
        gpus=None if gpus == "auto" else gpus,
        check=check,
        wait=decoding(console),
        say=console.out,
        modules=_preload(models, isinstance(gpus, (int, float)) and gpus > 1),
        space=space,
        run_dir=options.run_dir,
        address=options.address,
        verbose=options.verbose,
    )
    with resolve_name(ENGINES[options.engine])(setup) as engine:
        yield engine


def _preload(models: set[str] | None, ranks: bool) -> Sequence[str]:
    """What the fork server imports; `ranks`: for trials of several processes each."""
    if models is None:
        return (PRELOAD_OWN,)
    trains = PRELOAD if models in _SMALL_MODELS else (PRELOAD_TORCHVISION, *PRELOAD)
    return (PRELOAD_RANKS, *trains) if ranks else trains


def wait(work: Callable[[Callable[..., None]], Any], console: Console, verb: str = "") -> Any:
    """What `work` returns; meanwhile a bar, if it has progress to show, and without a terminal a line now and then."""
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", visible=False)
        said = time.monotonic()

        def advance(what: str, done: int, total: int) -> None:
            nonlocal said
            bar.update(task, description=f"{verb}{what}", completed=done, total=total, visible=True)
            if not console.is_terminal and time.monotonic() - said >= LINE_EVERY:
                said = time.monotonic()
                console.out(f"{verb}{what}: {done:,} of {total:,} images")

        return work(advance)


def decoding(console: Console) -> Callable[[Callable[[Callable[..., None]], Any]], Any]:
    """`wait` for work that decodes images, shown on the `console`."""
    return partial(wait, console=console, verb="decoding ")


@contextmanager
def interruptible(hint: str, console: Console) -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt, and leave their numbers in the list: what raised may be swallowed."""
    signalled: list[int] = []
    of_children = signal.getsignal(signal.SIGCHLD)

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal of_children
        if not signalled:  # a DataLoader's handler raises, wherever we are, for workers that the same signal has ended
            of_children = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signalled.append(number)
        raise KeyboardInterrupt  # Ray's compiled code lets no other exception through

    try:
        with unheard(), handled(interrupt, signal.SIGINT, signal.SIGTERM):
            yield signalled
    except ClusterLost as error:
        raise ClusterFailed(f"{error}{hint}") from error
    except (EngineFailed, forkserver.Died) as error:
        raise NothingCompleted(f"{error}{hint}") from error
    except Interrupted:
        raise
    except KeyboardInterrupt:
        number = (signalled or [signal.SIGINT])[0]
        console.out(f"{_word(number)}{hint}")
        raise Interrupted(number) from None
    finally:
        if signalled:
            signal.signal(signal.SIGCHLD, of_children or signal.SIG_DFL)


def last_words(end: Callable[[type[BaseException], BaseException, None], None], hint: str, why: str) -> None:
    """Say that the cluster is lost, and call `end` with that: the process ends now, and no block of it does."""
    error = ClusterFailed(f"{why}{hint}")
    print(f"search: {error}", file=sys.stderr, flush=True)
    end(ClusterFailed, error, None)


def _word(number: int) -> str:
    return "interrupted" if number == signal.SIGINT else "terminated"


def _report_of(study: str) -> str:
    """What the user types or calls to see what there is."""
    if not on_command_line():
        return f"search.report({study!r})"
    return shlex.join(["search", "report", study, *said_of_storage(same())])


def said_of_storage(command: str) -> list[str]:
    """The words of the command that name its storage, to be said again."""
    words = shlex.split(command)
    return [
        part
        for place, word in enumerate(words)
        if word.partition("=")[0] in ("--storage", "--storage-file")
        for part in ([word] if "=" in word else words[place : place + 2])
    ]


def opened_study(options: RunOptions, name: str, space: SpaceFile) -> Study:
    """The study. Raises SearchError, for another space with the whole command that begins a study of its own."""
    try:
        return studies.open_study(options.storage, name, space, options.extend)
    except studies.OtherSpace as error:
        raise SearchError(f"{error}; {_other_study(error.free, name)} begins a new one with its best") from None


def _other_study(name: str, source: str) -> str:
    """What the user types or calls to begin the study `name` with the best of the study `source`."""
    if not on_command_line():
        return f"{option('name', repr(name))} and {option('source', repr(source))}"
    named, begun = flag("name"), flag("source")
    words = [word for word in shlex.split(same()) if word != flag("extend")]
    for given in (named, begun):
        if given in words:
            del words[words.index(given) : words.index(given) + 2]
    words = [word for word in words if word.partition("=")[0] not in (named, begun)]
    return f"`{shlex.join([*words, named, name, begun, source])}`"


def same() -> str:
    """What the user types or calls to go on."""
    return same_command() if on_command_line() else "the same call"


def same_command() -> str:
    """The command line that runs now, or that submitted it, to be typed again.

    Passwords and addresses of notifications are left out.
    """
    if submitted := os.environ.get(SUBMITTED):
        return submitted
    words = ["search"]
    for before, word in pairwise(sys.argv):
        name, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if "--notify" in (before, name):
            word = f"{name}{equals}{hidden(value)}" if equals or before == "--notify" else word
        elif "://" in value:
            word = f"{name}{equals}{storages.redact(value)}"
        words.append(word)
    return shlex.join(words)
