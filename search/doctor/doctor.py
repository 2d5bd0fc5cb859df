"""`search check`: every check in order, a line each, and an exit status."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.text import Text

from search.config import TrainConfig, make_config
from search.data.registry import open_source
from search.doctor import choices, cost, duplicates, images, labels, learning, lr_range
from search.doctor.case import Case, Finding
from search.errors import SearchError, first_line
from search.files.atomic import file_name
from search.space.file import SpaceFile, load_space
from search.space.points import Point, check_fixed, neighbours, rate_range
from search.space.space import SearchSpace
from search.study.study import check_name
from search.train.device import resolve_runtime

_COLOURS = {"ok": "green", "warn": "yellow", "FAIL": "bold red"}


def check_space(path: Path | SearchSpace, overrides: Sequence[str], name: str | None, data_root: Path) -> int:
    """Check the space at `path`, or given itself, printing a line a check; 1 if one fails, else 0.

    Pictures go to runs/<study>/check. Raises SearchError for a file that is no space.
    """
    start, console = time.monotonic(), Console()
    space = load_space(path, overrides)
    check_fixed(space)
    study = name if name is not None else space.name
    check_name(study)
    folder = Path("runs") / file_name(study) / "check"
    counts: Counter[str] = Counter()
    for finding in _examine(space, data_root, folder, console):
        counts[finding.status] += 1
        words = f" {finding.name:<13} {finding.seen}{f': {finding.remedy}' if finding.remedy else ''}"
        line = Text.assemble((f"{finding.status:<4}", _COLOURS[finding.status]), words)
        console.print(line, soft_wrap=True, highlight=False)
    total, seconds = counts.total(), time.monotonic() - start
    ends = f"{counts['ok']} ok, {counts['warn']} to be looked at, {counts['FAIL']} failed"
    console.print(f"{total} checks in {seconds:.0f} s: {ends}", highlight=False)
    return 1 if counts["FAIL"] else 0


def _examine(space: SpaceFile, root: Path, folder: Path, console: Console) -> Iterator[Finding]:
    """Every finding, as it comes."""
    builder = choices.Builder(root, own=space.train is not None)
    with console.status("building"):
        point, error = choices.first_sound(space, builder)
    if point is None:
        yield Finding("FAIL", "choices", f"no point of the space can be built: {error}", "mend this first")
        return
    if space.train is not None:
        own = f"checking {space.path}: its own train() trains, so only the choices are looked at"
        console.print(own, highlight=False, soft_wrap=True)
        yield choices.check(space, point, builder)
        return
    config = make_config(point.settings)
    runtime = resolve_runtime(config.precision)
    case = Case(config, open_source(config.dataset, root), root, runtime, folder)
    where = f"{runtime.device}, {runtime.precision}, CPU threads: {runtime.threads}"
    console.print(Text(f"checking {_describe(config, point)}; {where}"), soft_wrap=True)
    for what, look in _checks(case, space, point, builder):
        with console.status(what):
            found = _looked(what, look)
        yield from found


def _looked(what: str, look: Callable[[], Finding | list[Finding]]) -> list[Finding]:
    """What a check finds; one that breaks is a finding too, and the others go on."""
    try:
        found = look()
    except Exception as error:  # torch's, or the user's own code
        remedy = "" if isinstance(error, SearchError) else "the check could not end; the model or the data broke it"
        return [Finding("FAIL", what, f"{type(error).__name__}: {first_line(error)}", remedy)]
    return found if isinstance(found, list) else [found]


def _checks(
    case: Case, space: SpaceFile, point: Point, builder: choices.Builder
) -> Iterator[tuple[str, Callable[[], Finding | list[Finding]]]]:
    """The checks in order, each with its name."""
    others = dict(_others(space, point, builder))
    largest = max(config.batch_size for config in [case.config, *others.values()])
    yield "choices", partial(choices.check, space, point, builder)
    yield "images", partial(images.check, case)
    yield "duplicates", lambda: duplicates.check(*case.images())
    yield "labels", partial(labels.check, case)
    yield "head", partial(learning.frozen_head, case, others)
    yield "initial loss", partial(learning.initial_loss, case)
    yield "memorise", partial(learning.memorised, case)
    yield "lr range", partial(lr_range.check, case, rate_range(point))
    yield "memory", partial(cost.check, case, largest)


def _others(space: SpaceFile, base: Point, builder: choices.Builder) -> Iterator[tuple[str, TrainConfig]]:
    """The configs beside `base` that can be built, by the option that each takes."""
    for name, option, point in neighbours(space, base):
        if isinstance(point, Point) and not builder.error(point.settings):
            yield f"{name}={option}", make_config(point.settings)


def _describe(config: TrainConfig, point: Point) -> str:
    """The examined point in one line: what it is and what is searched."""
    searched = {name: point.params[name] for name in point.distributions}
    words = ", ".join(f"{name}={value}" for name, value in searched.items()) or "no dimension varies"
    return f"{config.model} on {config.dataset} at the middle of the space ({words})"
