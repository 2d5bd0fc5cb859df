"""`search check`: every check in order, a line each, and an exit status."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from search.config import TrainConfig, make_config
from search.data.registry import opened
from search.doctor import choices, cost, duplicates, head, images, initial_loss, labels, lr_range, memorise
from search.doctor.case import Case, Finding
from search.doctor.preflight import decode
from search.errors import SearchError, first_line
from search.files.atomic import file_name
from search.space.file import SpaceFile, load_space
from search.space.points import Point, neighbours, rate_range
from search.space.space import SearchSpace
from search.study.sampler import check_chosen
from search.study.study import check_name
from search.train.device import resolve_runtime
from search.train.trainer import forget

Wait = Callable[[Callable[[Callable[..., None]], Any]], Any]
_COLOURS = {"ok": "green", "warn": "yellow", "FAIL": "bold red"}


@dataclass(frozen=True)
class Examination:
    """A space, its point that is examined most closely, and the case made of that."""

    space: SpaceFile
    point: Point
    builder: choices.Builder
    case: Case

    @cached_property
    def others(self) -> dict[str, TrainConfig]:
        """The other configs that can be built, by the option that each takes."""
        return {
            f"{name}={option}": make_config(point.settings)
            for name, option, point in neighbours(self.space, self.point)
            if isinstance(point, Point) and not self.builder.error(point.settings)
        }

    @property
    def largest_batch(self) -> int:
        """Images a step, at most."""
        return max(config.batch_size for config in (self.case.config, *self.others.values()))


CHECKS: dict[str, Callable[[Examination], Finding | list[Finding]]] = {
    "choices": lambda e: choices.check(e.space, e.point, e.builder),
    "images": lambda e: images.check(e.case),
    "classes": lambda e: images.evenness(e.case, e.others.values()),
    "duplicates": lambda e: duplicates.check(*e.case.images()),
    "labels": lambda e: labels.check(e.case),
    "head": lambda e: head.check(e.case, e.others),
    "initial loss": lambda e: initial_loss.check(e.case),
    "memorise": lambda e: memorise.check(e.case),
    "lr range": lambda e: lr_range.check(e.case, rate_range(e.point)),
    "memory": lambda e: cost.check(e.case, e.largest_batch),
}
"""Name to check, in the order in which they run; each is a file of this folder."""


def check_space(
    path: Path | SearchSpace, overrides: Sequence[str], name: str | None, data_root: Path, wait: Wait
) -> int:
    """Check the space at `path`, or given itself, printing a line a check; 1 if one fails, else 0.

    `wait`: calls what it is given with a function for its progress, which it shows, and returns what that returns.
    Pictures go to runs/<study>/check. Raises SearchError for a file that is no space.
    """
    start, console = time.monotonic(), Console(highlight=False)
    space = load_space(path, overrides)
    check_chosen(space)
    forget()
    study = name if name is not None else space.name
    check_name(study)
    folder = Path("runs") / file_name(study) / "check"
    counts: Counter[str] = Counter()
    for finding in _examine(space, data_root, folder, console, wait):
        counts[finding.status] += 1
        words = f" {finding.name:<13} {finding.seen}{f': {finding.remedy}' if finding.remedy else ''}"
        console.print(Text.assemble((f"{finding.status:<4}", _COLOURS[finding.status]), words), soft_wrap=True)
    total, seconds = counts.total(), time.monotonic() - start
    warnings = "1 warning" if counts["warn"] == 1 else f"{counts['warn']} warnings"
    ends = f"{counts['ok']} ok, {warnings}, {counts['FAIL']} failed"
    console.out(f"{total} checks in {seconds:.0f} s: {ends}")
    return 1 if counts["FAIL"] else 0


def _examine(space: SpaceFile, root: Path, folder: Path, console: Console, wait: Wait) -> Iterator[Finding]:
    """Every finding, as it comes."""
    builder = choices.Builder(root, custom=space.train is not None)
    with console.status("building"):
        point, error = choices.first_sound(space, builder)
    if point is None:
        yield Finding("FAIL", "choices", f"no point of the space can be built: {error}", "mend this first")
        return
    if space.train is not None:
        console.out(f"checking {space.path}: only its choices, for it has its own train()")
        yield choices.check(space, point, builder)
        return
    config = make_config(point.settings)
    runtime = resolve_runtime(config.precision)
    case = Case(config, opened(config.dataset, root), root, runtime, folder)
    where = f"{runtime.device}, {runtime.precision}, CPU threads: {runtime.threads}"
    console.out(f"checking {_describe(config, point)}; {where}")
    examination, checks, broken = Examination(space, point, builder, case), CHECKS, ""
    try:
        for data in wait(partial(decode, [config], ("train", "val"), root)).values():
            console.print("\n".join(data["said"]), markup=False, highlight=False, soft_wrap=True)
    except SearchError as error:  # without images nothing else can be checked
        checks, broken = {"choices": CHECKS["choices"]}, first_line(error)
    for name, check in checks.items():
        with console.status(name):
            found = _found(name, check, examination)
        yield from found
    if broken:
        yield Finding("FAIL", "images", broken)


def _found(
    name: str, check: Callable[[Examination], Finding | list[Finding]], examination: Examination
) -> list[Finding]:
    """The findings of one check; a check that breaks is a finding too, and the others go on."""
    try:
        found = check(examination)
    except Exception as error:  # torch's, or the user's own code
        remedy = "" if isinstance(error, SearchError) else "the check could not end; the model or the data broke it"
        return [Finding("FAIL", name, f"{type(error).__name__}: {first_line(error)}", remedy)]
    return found if isinstance(found, list) else [found]


def _describe(config: TrainConfig, point: Point) -> str:
    """The examined point in one line: what it is and what is searched."""
    searched = {name: point.params[name] for name in point.distributions}
    words = ", ".join(f"{name}={value}" for name, value in searched.items()) or "no dimension varies"
    return f"{config.model} on {config.dataset} at the middle of the space ({words})"
