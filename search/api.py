"""The commands as functions, for notebooks and scripts: the same options and defaults, and the same files.

Each function takes the fields of its options dataclass, in search/commands, as parameters. It raises SearchError where
the command ends with one line. A run that is interrupted raises KeyboardInterrupt, and the same call goes on.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from search.commands.check import CheckOptions
from search.commands.check import check as check_space
from search.commands.confirm import confirm as confirm_study
from search.commands.export import ExportOptions, write_config
from search.commands.launch_options import ConfirmOptions, RunOptions
from search.commands.options import STORAGE, StudyOptions, declared
from search.commands.predict import PredictOptions, predictions
from search.commands.report import ReportOptions, write_report
from search.commands.run import run as run_space

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna.study import Study

P = ParamSpec("P")
Taken = TypeVar("Taken")
Done = TypeVar("Done")


def _function(name: str, options: Callable[P, Taken], verb: Callable[[Taken], Done]) -> Callable[P, Done]:
    """`verb` as a function of its options' fields, named `name`, with their types, defaults and help."""

    @wraps(verb)
    def call(*args: P.args, **kwargs: P.kwargs) -> Done:
        return verb(options(*args, **kwargs))

    assert isinstance(options, type)
    kinds, signature = {item.field.name: item for item in declared(options)}, inspect.signature(options)
    parameters = [item.replace(annotation=kinds[item.name].kind) for item in signature.parameters.values()]
    returns = inspect.signature(verb).return_annotation
    call.__signature__ = signature.replace(parameters=parameters, return_annotation=returns)  # type: ignore[attr-defined] # help() shows it
    call.__name__ = call.__qualname__ = name
    call.__module__ = __name__
    lines = [f"{item.field.name}: {item.help.text}" for item in kinds.values()]
    listed = "\n".join(fill(line, 110, initial_indent="    ", subsequent_indent="        ") for line in lines)
    call.__doc__ = f"{inspect.getdoc(verb)}\n\n{listed}"
    return call


def _report(options: ReportOptions) -> Path:
    """Write a study's report; returns its path, with `html` that of the page."""
    written = write_report(options)
    return written.html or written.path


def _figures(options: StudyOptions) -> dict[str, Figure]:
    """The pictures of a study's report as matplotlib figures, by the names of their files; a notebook shows them."""
    from search.analysis.view import StudyView
    from search.reporting.plots.registry import figures
    from search.study.storage.open import storage_errors

    if (module := sys.modules.get("IPython")) is not None and (shell := module.get_ipython()) is not None:
        from IPython.core.pylabtools import select_figure_formats

        select_figure_formats(shell, {"png"})  # type: ignore[no-untyped-call] # IPython has no types
    with storage_errors(options.url):
        return figures(StudyView(options.load()))


run = _function("run", RunOptions, run_space)
confirm = _function("confirm", ConfirmOptions, confirm_study)
check = _function("check", CheckOptions, check_space)
report = _function("report", ReportOptions, _report)
figures = _function("figures", StudyOptions, _figures)
export = _function("export", ExportOptions, write_config)
predict = _function("predict", PredictOptions, predictions)


def load_study(name: str, *, storage: str = STORAGE) -> Study:
    """The study of that name, Optuna's own object, to be read. Raises SearchError."""
    from search.study.study import load_study as load

    return load(storage, name)
