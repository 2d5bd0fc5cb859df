"""The driver with a real study: reports, prunes, tells; what it writes is what a later run reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from driving import ask, drive, epoch, stored
from optuna.trial import TrialState

from search import Choice, Float, SearchSpace
from search.engine.messages import Ended, Failed
from search.engine.rules import Run
from search.errors import SearchError


def test_a_pruned_trials_curve_holds_its_last_epoch() -> None:
    driver, recorder = drive()
    good, poor = ask(driver), ask(driver)
    assert driver.receive(good, epoch(0.9))
    assert not driver.receive(poor, epoch(0.1))
    pruned = stored(driver.study, 1)
    assert (pruned.state, pruned.intermediate_values) == (TrialState.PRUNED, {1: 0.1})
    assert recorder.epochs == [(0, 1), (1, 1)]
    assert recorder.ends == []  # the next trial goes first
    driver.catch_up()
    assert recorder.ends == [(1, TrialState.PRUNED, "")]
    assert list(driver.live) == [0]


def test_the_last_epoch_is_complete_however_poor_and_its_value_counts() -> None:
    driver, _ = drive()
    good, falling = ask(driver), ask(driver)
    for score in (0.5, 0.9):
        driver.receive(good, epoch(score))
        assert driver.receive(falling, epoch(score))
    assert stored(driver.study, 1).state == TrialState.RUNNING
    driver.receive(good, epoch(0.8))
    assert driver.receive(falling, epoch(0.7))
    driver.receive(good, epoch(0.9, last=True))
    assert not driver.receive(falling, epoch(0.1, last=True))  # epoch 4 would be a rung
    done = stored(driver.study, 1)
    assert (done.state, done.value) == (TrialState.COMPLETE, 0.1)
    assert done.intermediate_values == {1: 0.5, 2: 0.9, 3: 0.7, 4: 0.1}
    assert driver.counts[TrialState.COMPLETE] == 2


def test_a_generator_of_unknown_length_completes_with_its_last_value() -> None:
    driver, _ = drive()
    job = ask(driver)
    driver.receive(job, epoch(0.9))
    driver.receive(job, epoch(0.3))
    assert not driver.receive(job, Ended(0))
    assert (stored(driver.study, 0).state, stored(driver.study, 0).value) == (TrialState.COMPLETE, 0.3)


def test_replayed_epochs_are_not_reported_twice() -> None:
    driver, _ = drive()
    job = ask(driver)
    x = job.settings["x"]
    for score in (0.5, 0.6):
        driver.receive(job, epoch(score))

    driver, recorder = drive()  # the driver died; Optuna warns of a step reported twice, which is an error here
    job = ask(driver)
    assert (job.number, job.settings["x"]) == (0, x)
    for score in (0.51, 0.61, 0.7):
        assert driver.receive(job, epoch(score))
    driver.receive(job, epoch(0.8, last=True))
    done = stored(driver.study, 0)
    assert done.intermediate_values == {1: 0.5, 2: 0.6, 3: 0.7, 4: 0.8}
    assert len(recorder.epochs) == 4
    assert done.user_attrs["epoch"]["machine_seconds"] == 6 * 2.0  # both attempts


def test_a_crash_between_report_and_decision_does_not_promote() -> None:
    driver, _ = drive()
    good, poor = ask(driver), ask(driver)
    assert driver.receive(good, epoch(0.9))
    poor.trial.report(0.1, 1)  # and here the driver died

    driver, _ = drive()
    good, poor = ask(driver), ask(driver)
    assert driver.receive(good, epoch(0.9))
    assert not driver.receive(poor, epoch(0.1))
    assert stored(driver.study, poor.number).state == TrialState.PRUNED


def test_a_point_that_is_no_config_fails_and_the_next_is_asked_for() -> None:
    def space(trial: Any) -> dict[str, Any]:
        if trial.number == 1:
            raise KeyError("nought")
        if trial.number == 2:
            raise SearchError("this one says it all")
        size = trial.suggest_int("batch_size", 0, 0) + trial.number
        return dict(model="cnn", dataset="digits", epochs=1, lr=0.1, step_size=1, gamma=0.5, batch_size=size)

    Path("space.py").write_text("def space(trial): ...\n")
    driver, _ = drive(trials=4, space=space, own=False)
    job = ask(driver)
    assert (job.number, job.settings["batch_size"]) == (3, 3)
    failed = driver.study.get_trials()[:3]
    assert [trial.state for trial in failed] == [TrialState.FAIL] * 3
    errors = [trial.user_attrs["error"] for trial in failed]
    assert errors[0].startswith("user_code: batch_size=0: input should be greater than or equal to 1")
    line, place = 'raise KeyError("nought")', space.__code__.co_firstlineno + 2
    assert errors[1] == f"user_code: test_driver.py:{place}: {line}: KeyError: 'nought'"
    assert errors[2] == "user_code: this one says it all"
    assert driver.next() is None  # four were wanted


def test_earlier_runs_count_towards_the_target() -> None:
    driver, _ = drive(trials=1)
    driver.receive(ask(driver), epoch(0.5, last=True))
    assert driver.next() is None

    driver, _ = drive(trials=3)
    assert (driver.at_start, driver.finished) == (1, False)
    jobs = [ask(driver), ask(driver)]
    assert [job.number for job in jobs] == [1, 2]
    assert driver.next() is None
    assert not driver.finished  # two run yet
    for job in jobs:
        driver.receive(job, Failed(0, "no"))
    assert driver.finished


def test_no_trial_starts_when_the_time_is_over() -> None:
    driver, _ = drive()
    driver.stopping.deadline = 0
    assert driver.over
    assert driver.next() is None
    assert driver.study.get_trials() == []


def test_the_storage_has_what_the_report_reads() -> None:
    space = SearchSpace(x=Float(0, 1), size=Choice(small=(1, 2), big=(3, 4)), epochs=4)
    driver, _ = drive(space=space)
    job = ask(driver)
    message = replace(epoch(0.5, loss=0.25), ran_on={"device": "cpu"}, cost={"parameters": 7})
    driver.receive(job, message)
    attrs = stored(driver.study, 0).user_attrs  # while it runs
    assert attrs["config"] == job.settings | {"size": list(job.settings["size"])}
    assert attrs["epoch"] == {"score": 0.5, "loss": 0.25, "seconds": 2.0, "machine_seconds": 2.0}
    assert (attrs["ran_on"], attrs["cost"]) == ({"device": "cpu"}, {"parameters": 7})


def test_a_signal_whose_exception_was_lost_still_ends_the_run() -> None:
    driver, _ = drive()
    signalled: list[int] = []
    driver.run = Run(signalled=signalled)
    job = ask(driver)
    assert driver.receive(job, epoch(0.5))
    signalled.append(2)
    with pytest.raises(KeyboardInterrupt):
        driver.receive(job, epoch(0.6))
    with pytest.raises(KeyboardInterrupt):
        driver.next()
    assert stored(driver.study, 0).intermediate_values == {1: 0.5}
    assert len(driver.study.trials) == 1


def test_once_another_runs_the_study_nothing_more_is_asked_or_written() -> None:
    driver, _ = drive()
    job = ask(driver)

    def ours() -> None:
        raise SearchError("the study went to another")

    driver.run = Run(ours=ours)
    for call in (driver.next, lambda: driver.receive(job, epoch(0.5))):
        with pytest.raises(SearchError, match="went to another"):
            call()
    assert [trial.intermediate_values for trial in driver.study.get_trials()] == [{}]
