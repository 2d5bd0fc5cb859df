"""The end of a run: its report and best config, and the table on the screen or, for other programs, as Markdown."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from search.errors import NothingCompleted

if TYPE_CHECKING:
    from optuna.study import Study

    from search.engine.driver import Driver
    from search.monitoring.tensorboard import TensorBoard
    from search.reporting.page import Report


def own_console() -> Console:
    """Where a run's lines go, whatever the code of its trials makes of `sys.stdout` meanwhile."""
    return Console(highlight=False, file=sys.stdout)


def show(report: Report) -> None:
    """Print the table."""
    if report.ranking is None or not report.ranking.rows or not sys.stdout.isatty():
        print(report.table)
        return
    from search.reporting.columns import unescaped

    console = Console(highlight=False, markup=False)
    if report.ranking.words:
        console.print(unescaped(report.ranking.words))
        console.print()
    console.print(report.ranking.terminal(console.width))


def finish(study: Study, reports: Path, board: TensorBoard) -> Path:
    """Write report and best config; print the table; returns the report's path."""
    from search.analysis.view import StudyView
    from search.commands.steps.export import write_best
    from search.commands.steps.launch import said_of_storage, same
    from search.engine.retention import output_of
    from search.monitoring import dashboard
    from search.reporting import page  # late: pandas takes a second to import
    from search.study.attributes import feasible, no_best

    view = StudyView(study)
    report = page.write(view, reports)
    try:
        dashboard.publish(view, report)
        board.show(report.pictures)
    except OSError as error:  # a full disk; the page is there
        print(f"the report's pictures are not in optuna-dashboard and TensorBoard: {error}")
    if not any(map(feasible, view.ranked)):
        raise NothingCompleted(f"{no_best(study)}; {report.path} has the reasons")
    best = None if view.several else write_best(study, reports)  # of several objectives none is the best
    print()
    show(report)
    print()
    print(f"report       {report.path}")
    if best is not None:
        print(f"best config  {best}")
        if not view.record.own_train:
            print(f"train it     search train {shlex.quote(str(best))}")
    if any(output_of(study.study_name).glob("*.txt")):
        print(f"output       {output_of(study.study_name)}")
    print(f"watch it     {shlex.join(['search', 'dashboard', study.study_name, *said_of_storage(same())])}")
    return report.path


@contextmanager
def reported_so_far(driver: Driver, reports: Path, console: Console) -> Iterator[None]:
    """Where the trials are given up, write the report of those that completed, and say how the run goes on."""
    from search.analysis.view import StudyView
    from search.commands.steps.export import write_best
    from search.commands.steps.launch import same
    from search.engine.failures import RunAborted
    from search.reporting import page
    from search.study.attributes import feasible

    try:
        yield
    except RunAborted:
        view, so_far = StudyView(driver.study), ""
        if any(map(feasible, view.ranked)):
            so_far = f"the report so far: {page.write(view, reports).path}; "
            if not view.several:
                write_best(driver.study, reports)
        console.out(f"{so_far}to go on once that is mended: {same()}")
        raise
