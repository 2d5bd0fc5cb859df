"""Callbacks that fail, and those that hear of everything all the same."""

from __future__ import annotations

from typing import cast

import pytest
from driving import Recorder
from optuna.trial import TrialState

from search.engine.callbacks import LATE, Callbacks
from search.engine.messages import Report
from search.engine.trial import ActiveTrial


class Failing:
    """A callback that cannot write."""

    def __init__(self, error: OSError) -> None:
        self.error = error

    def on_epoch(self, job: ActiveTrial) -> None:
        raise self.error

    def on_end(self, job: ActiveTrial, state: TrialState, reason: str) -> None:
        raise self.error


class At:
    number, last = 7, Report(1, {}, 3, last=False)


JOB = cast("ActiveTrial", At())


def test_what_one_cannot_write_is_said_once_and_the_others_hear_all() -> None:
    recorder, said = Recorder(), list[str]()
    first, second = Failing(OSError("no room")), Failing(OSError("nor here"))
    callbacks = Callbacks([first, second, recorder], said.append)
    callbacks.epoch(JOB)
    callbacks.epoch(JOB)
    callbacks.end(JOB, TrialState.PRUNED, "")
    assert recorder.ends == []  # the next trial goes first
    callbacks.catch_up()
    callbacks.catch_up()
    assert (recorder.epochs, recorder.ends) == ([(7, 3)] * 2, [(7, TrialState.PRUNED, "")])
    assert said == [f"{what}; the run goes on without what it cannot write" for what in ("no room", "nor here")]


def test_a_terminal_that_is_gone_ends_the_run() -> None:
    with pytest.raises(BrokenPipeError):
        Callbacks([Failing(BrokenPipeError())], print).epoch(JOB)


def test_an_end_is_told_in_time_although_nobody_waits_for_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("search.engine.callbacks.time.monotonic", lambda: now)
    recorder = Recorder()
    callbacks = Callbacks([recorder], print)
    callbacks.keep_up()
    callbacks.end(JOB, TrialState.PRUNED, "")
    now += LATE
    callbacks.end(JOB, TrialState.COMPLETE, "")
    callbacks.keep_up()
    assert recorder.ends == []
    now += 0.1
    callbacks.keep_up()
    assert recorder.ends == [(7, TrialState.PRUNED, ""), (7, TrialState.COMPLETE, "")]
