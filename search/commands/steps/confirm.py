"""`search confirm`: the leaders and the best hand-tuned row trained again with new seeds, as a study of their own."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import BaseTrial, FixedTrial, TrialState
from rich.console import Console

from search import entry_points
from search.analysis import confirmation
from search.analysis.candidates import Candidate, candidates
from search.analysis.view import StudyView
from search.commands.launch_options import ConfirmOptions
from search.commands.steps.confirm_code import check_code, known_code, own_file
from search.commands.steps.launch import drive, engine_of, interruptible, same, workplace_of
from search.commands.steps.screen import own_console
from search.engine.driver import Driver
from search.engine.rules import Rules, Run
from search.engine.trial import ActiveTrial
from search.errors import NothingCompleted, SearchError, option
from search.files import locations
from search.format import format_number
from search.monitoring.progress import Progress
from search.reporting import page
from search.reporting.sections import ablation
from search.reporting.sections.confirmation import table, verdict
from search.space.file import SpaceFile
from search.study import code as versions
from search.study import data
from search.study import study as studies
from search.study.attributes import StudyRecord, TrialRecord, metric_of
from search.study.lease import lease
from search.study.storage import open as storages


@dataclass(frozen=True)
class _Queue(SpaceFile):
    """The points of a confirmation: what is queued, and nothing else."""

    confirms: str = ""
    file: SpaceFile | None = None
    """The space file whose train() trains. None: the built-in training."""
    params: Mapping[int | str, dict[str, Any]] = field(default_factory=dict)
    """With a file: trial number to its parameters there."""
    code: frozenset[Path] = frozenset()
    """The Python files that the built-in training may use."""

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        seed, record = trial.suggest_int("seed", 0, 2**32 - 1), TrialRecord(trial)
        if self.file is None or not isinstance(record.of, int):
            settings = record.config or {}
            check_code(self.confirms, [settings], self.code)
            return settings
        return self.file.suggest(FixedTrial(self.params[record.of], record.of)) | {"seed": seed}

    def describe(self) -> dict[str, str]:
        return {"confirms": self.confirms}


def confirm_study(options: ConfirmOptions) -> Study:
    """Train what is missing of the confirmation of a study, and write the study's report; returns the study.

    Raises SearchError for a study that cannot be confirmed, Interrupted.
    """
    locations.written_to(options.reports, "reports")
    locations.check(options.run_dir)
    console = own_console()
    again = f"; to go on: {same()}"
    with storages.storage_errors(options.url, again), interruptible(again, console) as signalled:
        original = studies.load_study(options.url, options.name)
        found = candidates(original, options.top, options.trial, options.ablate)
        made = confirmation.of(original)
        if made is not None and _settled(made) and not missing(made, found, options.seeds):
            more = f"{option('seeds')}, {option('top')} or {option('trial')} asks for more"
            console.out(f"all of that is confirmed already; {more}")
        else:
            _train(original, found, options, console, signalled)
        _finish(original, options)
        return original


def missing(made: Study | None, found: Sequence[Candidate], seeds: int) -> list[tuple[Candidate, int]]:
    """What the confirmation `made` has not yet, the first seed of every config before the second of any."""
    trials = made.get_trials(deepcopy=False) if made is not None else []
    there = {(record.of, _identity(record.config or {})) for record in map(TrialRecord, trials)}
    pairs = [(candidate, candidate.seeds(seeds)[place]) for place in range(seeds) for candidate in found]
    return [
        (candidate, seed)
        for candidate, seed in pairs
        if (candidate.of, _identity(candidate.config | {"seed": seed})) not in there
    ]


def _identity(config: dict[str, Any]) -> tuple[str, Any]:
    return confirmation.but_seed(config), config.get("seed")


def _settled(made: Study) -> bool:
    return all(trial.state.is_finished() for trial in made.get_trials(deepcopy=False))


def _queue(original: Study, found: Sequence[Candidate], options: ConfirmOptions) -> _Queue:
    """What trains the candidates again. Raises SearchError for code that only the storage names."""
    file = own_file(original, options.space)
    return _Queue(
        Path(options.name),
        options.name,
        lambda trial: {},  # `suggest` takes what is queued
        file.train if file is not None else None,
        metric=metric_of(original),
        direction="maximize" if original.direction == StudyDirection.MAXIMIZE else "minimize",
        sampler=RandomSampler(),
        pruner=NopPruner(),
        confirms=options.name,
        file=file,
        code=known_code(original, [candidate.config for candidate in found], options.space),
        params={trial.number: trial.params for trial in original.get_trials(deepcopy=False)},
    )


def _train(
    original: Study, found: list[Candidate], options: ConfirmOptions, console: Console, signalled: list[int]
) -> None:
    """Train what is missing."""
    space = _queue(original, found, options)
    file = space.file
    wanted = _wanted(options)
    check = (entry_points.CHECK_CONFIGS, [candidate.config for candidate in found], options.data_root)
    models = {candidate.config["model"] for candidate in found} if file is None else None
    path = None if file is None else file.path
    place = workplace_of(options, test=file is None, own_train=None if path is None else str(path))
    with engine_of(options, wanted, place, None if path else check, models, console, path) as (engine, ready):
        seen = data.Found(ready.data, ready.weights) if ready else data.Found()
        data.check(original, seen)
        for note in (*(ready.notes if ready else ()), *(versions.changes(original, file) if file else ())):
            console.out(note)
        found = _that_can_be(found, ready.wrong if ready else [""] * len(found), console)
        made = studies.open_study(options.url, confirmation.name_of(options.name), space)
        with lease(made) as ours:
            data.settle(made, seen)
            studies.requeue(made)
            StudyRecord(made).confirms = options.name
            _fill(made, found, options.seeds)
            progress = _Progress(console, made.study_name)
            rules = Rules(trials=len(made.get_trials(deepcopy=False)), keeps=False, run_dir=options.run_dir)
            driver = Driver(made, space, rules, [progress], Run(ours=ours, signalled=signalled))
            progress.attach(driver)
            drive(driver, progress, engine, console, signalled)


def _wanted(options: ConfirmOptions) -> dict[str, Any]:
    asked = (("cpus", options.cpus_per_trial), ("gpus", options.gpus_per_trial))
    return {name: value for name, value in asked if value is not None}


def _fill(made: Study, found: Sequence[Candidate], seeds: int) -> None:
    """Queue what is missing."""
    for candidate, seed in missing(made, found, seeds):
        record = TrialRecord()
        record.of, record.config = candidate.of, candidate.config | {"seed": seed}
        if candidate.baseline is not None:
            record.baseline = candidate.baseline
        if candidate.put_back is not None:
            record.put_back = candidate.put_back
        made.enqueue_trial({"seed": seed}, user_attrs=record.stored)


def _that_can_be(found: list[Candidate], wrong: Sequence[str], console: Console) -> list[Candidate]:
    """The candidates with which nothing is wrong. Raises SearchError if one of the trials cannot be trained here."""
    for candidate, error in zip(found, wrong, strict=True):
        if error and isinstance(candidate.of, int) and candidate.put_back is None:
            raise SearchError(f"trial {candidate.of}: {error}")
        if error:
            who = candidate.label if isinstance(candidate.of, int) else f"hand-tuned {candidate.of}"
            console.out(f"left out: {who}: {error}")
    return [candidate for candidate, error in zip(found, wrong, strict=True) if not error]


class _Progress(Progress):
    """One line a seed; no best, for no seed is better than another."""

    def attach(self, driver: Driver) -> None:
        self._driver = driver

    def on_end(self, trial: ActiveTrial, state: TrialState, reason: str) -> None:
        if not self._plain or self._driver is None:
            return
        record, test = trial.before, trial.last.test or {}
        metric = self._driver.space.metric
        what = reason or f"{metric} {format_number(trial.last.epoch[metric])} at epoch {trial.last.step}"
        if test:
            what = f"validation accuracy {trial.last.epoch['val_acc']:.4f}, test accuracy {test['test_acc']:.4f}"
        who = confirmation.row_of(record).label
        done = f"[{self._driver.counts.total()}/{self._driver.trials}]"
        failed = " FAILED" if state == TrialState.FAIL else ""
        self.say(f"{done} {who}, seed {(record.config or {}).get('seed')}{failed}: {what}")


def _finish(original: Study, options: ConfirmOptions) -> None:
    """Write the study's report; print what was confirmed."""
    view = StudyView(original)
    report = page.write(view, options.reports)
    if not any(row.val for row in view.confirmed):
        raise NothingCompleted(
            f"no seed completed; search report {shlex.quote(confirmation.name_of(options.name))} has the reasons"
        )
    print(f"\n{table(view)}\n")
    text = verdict(view)
    print(f"{text}\n\n" if text else "", end="")
    if view.ablated:
        print(f"{ablation.found(view)}\n")
    print(f"report       {report.path}")
