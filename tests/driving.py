"""A driver on a real study, driven by hand: what the driver's tests share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search import ASHA, Float, SearchSpace
from search.engine.driver import Driver
from search.engine.messages import Message, Report
from search.engine.rules import Rules
from search.engine.trial import ActiveTrial
from search.space.file import SpaceFile
from search.study.ending.stopping import Stopping
from search.study.study import open_study, requeue

URL = "sqlite:///studies.db"
OWN = SearchSpace(x=Float(0, 1), epochs=4)


class Recorder:
    """A callback that keeps what it was told."""

    def __init__(self) -> None:
        self.epochs: list[tuple[int, int]] = []
        self.ends: list[tuple[int, TrialState, str]] = []

    def on_epoch(self, job: ActiveTrial) -> None:
        self.epochs.append((job.number, job.last.step))

    def on_end(self, job: ActiveTrial, state: TrialState, reason: str) -> None:
        self.ends.append((job.number, state, reason))


class Driven(Driver):
    """A driver for whose messages attempt 0 is the trial's own, and step 0 the next."""

    def receive(self, job: ActiveTrial, message: Message) -> bool:
        message = replace(message, attempt=message.attempt or job.attempt)
        if isinstance(message, Report):
            message = replace(message, step=message.step or job.last.step + 1)
        return super().receive(job, message)


def drive(
    trials: int = 8,
    space: Any = OWN,
    own: bool = True,
    max_failures: int = 0,
    audit: float = 0.0,
    stopping: Stopping | None = None,
    **options: Any,
) -> tuple[Driver, Recorder]:
    """A driver as `search run` makes one, on the study in the working directory: new, or gone on with."""
    train = (lambda config: iter(())) if own else None
    metric = "score" if own else "val_acc"
    options = {"pruner": ASHA(min_resource=1), **options}  # the first epoch decides
    file = SpaceFile(Path("space.py"), "space", space, train, metric=metric, **options)
    study = open_study(URL, "s", file)
    requeue(study)
    recorder = Recorder()
    rules = Rules(trials=trials, stopping=stopping or Stopping(), max_failures=max_failures, audit=audit)
    return Driven(study, file, rules, [recorder]), recorder


def ask(driver: Driver) -> ActiveTrial:
    job = driver.next()
    assert job is not None
    return job


def epoch(score: Any, last: bool = False, **more: Any) -> Report:
    """A worker's message."""
    return Report(0, {"score": score, "seconds": 2.0, **more}, 0, last)


def stored(study: Study, number: int) -> FrozenTrial:
    return study.get_trials()[number]
