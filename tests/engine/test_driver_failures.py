"""What the driver makes of failures: of a trial, of its worker, of the engine."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from driving import ask, drive, epoch, stored
from optuna.pruners import NopPruner
from optuna.trial import TrialState

from search.engine.driver import MAX_ATTEMPTS
from search.engine.failures import RunAborted
from search.engine.messages import Ended, Failed, Lost, Message, Report, Silent


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([epoch(0.5), epoch(math.nan)], "diverged: score is nan at epoch 2"),
        ([epoch(math.inf, last=True)], "diverged: score is inf at epoch 1"),
        ([epoch("high")], "train() yields the str 'high' as the metric 'score', which must be a number"),
        ([Failed(0, "user_code: space.py:3: no")], "user_code: space.py:3: no"),
        ([Silent(0, 90.0)], "timeout: no epoch within 90 s (trial_timeout=)"),
        ([Ended(0)], "train() yielded nothing"),
    ],
)
def test_a_failed_trial_says_why_and_the_others_go_on(messages: list[Message], reason: str) -> None:
    driver, recorder = drive(trials=2)
    job = ask(driver)
    *before, final = messages
    for message in before:
        assert driver.receive(job, message)
    assert not driver.receive(job, final)
    failed = stored(driver.study, 0)
    assert (failed.state, failed.value) == (TrialState.FAIL, None)
    assert reason in failed.user_attrs["error"]
    driver.catch_up()
    assert recorder.ends == [(0, TrialState.FAIL, failed.user_attrs["error"])]
    assert not driver.receive(ask(driver), epoch(0.5, last=True))
    assert stored(driver.study, 1).state == TrialState.COMPLETE
    assert driver.finished


def test_a_metric_that_the_first_trial_does_not_yield_ends_the_run_with_status_2() -> None:
    driver, _ = drive(trials=3)
    missing = Report(0, {"acc": 1.0, "seconds": 0.1}, 0, last=False)
    says = r"the first trial failed, and others would: user_code: the metric 'score' is missing from what .*: acc"
    with pytest.raises(RunAborted, match=says) as raised:
        driver.receive(ask(driver), missing)
    assert raised.value.exit_status == 2
    assert stored(driver.study, 0).state == TrialState.FAIL
    driver, _ = drive(trials=3)  # the same command goes on, and a later trial may yield less
    assert not driver.receive(ask(driver), missing)
    assert stored(driver.study, 1).state == TrialState.FAIL


def test_a_lost_worker_puts_its_trial_back_until_it_happens_too_often() -> None:
    driver, recorder = drive(trials=1)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        job = ask(driver)
        assert job.number == 0
        driver.receive(job, epoch(0.5))
        driver.receive(job, Lost(0))
        assert stored(driver.study, 0).user_attrs["attempts"] == attempt
        waits = attempt < MAX_ATTEMPTS
        assert stored(driver.study, 0).state == (TrialState.WAITING if waits else TrialState.FAIL)
        assert not driver.live
    assert "node_lost: its worker process died 3 times" in stored(driver.study, 0).user_attrs["error"]
    assert driver.finished
    driver.catch_up()
    assert len(recorder.ends) == 1


def test_a_trial_that_gets_further_each_time_is_not_given_up() -> None:
    driver, _ = drive(trials=1)
    for death in range(1, MAX_ATTEMPTS + 3):
        job = ask(driver)
        for _ in range(death):
            assert driver.receive(job, epoch(0.5))
        driver.receive(job, Lost(0))
        assert stored(driver.study, 0).user_attrs["attempts"] == 1
    assert stored(driver.study, 0).state == TrialState.WAITING


LATE = [epoch(0.1), epoch(0.1, last=True), Ended(0), Failed(0, "user_code: no"), Silent(0, 9.0), Lost(0)]


@pytest.mark.parametrize("message", LATE)
def test_what_comes_late_of_an_attempt_that_was_given_up_changes_nothing(message: Message) -> None:
    """Its worker was stopped past every limit, and continued."""
    driver, recorder = drive(trials=2)
    late = ask(driver)
    assert driver.receive(late, replace(epoch(0.5), attempt=late.attempt))
    driver.receive(late, Lost(0))

    def unchanged() -> bool:
        before = stored(driver.study, 0)
        refused = not driver.receive(late, replace(message, attempt=late.attempt))
        return refused and stored(driver.study, 0) == before

    assert unchanged()  # while the trial waits
    again = ask(driver)
    assert (again.number, again.attempt > late.attempt) == (late.number, True)
    assert unchanged()  # while it runs elsewhere
    before = stored(driver.study, 0)
    assert not driver.receive(again, replace(message, attempt=late.attempt))  # through the new worker
    assert stored(driver.study, 0) == before
    assert driver.receive(again, replace(epoch(0.5), attempt=again.attempt))
    assert driver.receive(again, replace(epoch(0.7), attempt=again.attempt))
    driver.receive(again, Ended(again.attempt))
    assert unchanged()  # when it has ended
    assert stored(driver.study, 0).intermediate_values == {1: 0.5, 2: 0.7}
    driver.catch_up()
    assert recorder.ends == [(0, TrialState.COMPLETE, "")]


def test_an_error_that_was_never_told_is_not_kept() -> None:
    driver, _ = drive(trials=1)
    job = ask(driver)
    job.trial.set_user_attr("error", "timeout: no epoch within 9 s")  # and here the driver died

    driver, _ = drive(trials=1)
    assert not driver.receive(ask(driver), epoch(0.5, last=True))
    done = stored(driver.study, 0)
    assert (done.state, done.user_attrs["error"]) == (TrialState.COMPLETE, None)


def test_an_engine_that_breaks_down_puts_all_of_its_trials_back() -> None:
    driver, _ = drive(trials=4, pruner=NopPruner())
    first, second = ask(driver), ask(driver)
    assert driver.receive(first, epoch(0.5))
    driver.orphaned()
    assert not driver.live
    assert [stored(driver.study, n).state for n in (0, 1)] == [TrialState.WAITING] * 2
    assert [ask(driver).number, ask(driver).number] == [first.number, second.number]
    assert [stored(driver.study, n).user_attrs["attempts"] for n in (0, 1)] == [1, 1]
    for _ in range(5):
        driver.orphaned(blamed=False)
        assert [ask(driver).number, ask(driver).number] == [first.number, second.number]
    assert [stored(driver.study, n).user_attrs["attempts"] for n in (0, 1)] == [1, 1]


def test_what_ran_out_of_memory_beside_others_is_tried_again_alone() -> None:
    driver, recorder = drive(trials=4)
    big, other = ask(driver), ask(driver)
    assert not driver.receive(big, Failed(0, "oom: no room"))
    assert stored(driver.study, 0).state == TrialState.WAITING
    assert driver.next() is None  # not beside the other
    assert not driver.finished
    driver.receive(other, epoch(0.5, last=True))
    again = ask(driver)
    assert again.number == 0
    assert driver.next() is None  # nor another beside it
    assert not driver.receive(again, Failed(0, "oom: no room"))
    assert stored(driver.study, 0).user_attrs["error"] == "oom: no room"
    both = ask(driver), ask(driver)
    assert [job.number for job in both] == [2, 3]
    driver.catch_up()
    assert len(recorder.ends) == 2


def test_what_was_tried_alone_is_not_tried_a_third_time_by_a_later_run() -> None:
    driver, _ = drive(trials=4)
    ask(driver), ask(driver)
    driver.receive(driver.live[0], Failed(0, "oom: no room"))

    driver, _ = drive(trials=4)  # the driver died before it was alone
    big, other = ask(driver), ask(driver)
    assert not driver.receive(big, Failed(0, "oom: no room"))
    assert stored(driver.study, 0).state == TrialState.FAIL
    assert other.number in driver.live


def test_out_of_memory_alone_is_the_end_of_a_trial() -> None:
    driver, _ = drive(trials=1)
    assert not driver.receive(ask(driver), Failed(0, "oom: no room"))
    assert stored(driver.study, 0).state == TrialState.FAIL


def test_failures_in_a_row_stop_the_run_and_diverged_trials_do_not_count() -> None:
    driver, _ = drive(trials=20, max_failures=3)
    for message in (Failed(0, "user_code: a"), Failed(0, "user_code: b"), epoch(0.5, last=True)):
        driver.receive(ask(driver), message)
    for message in (Failed(0, "user_code: c"), Failed(0, "diverged: d"), Failed(0, "timeout: e")):
        driver.receive(ask(driver), message)
    with pytest.raises(RunAborted, match=r"3 trials in a row failed .*: user_code: f"):
        driver.receive(ask(driver), Failed(0, "user_code: f"))
