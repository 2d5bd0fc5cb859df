"""A trial that somebody ends in the dashboard while it runs: the real dashboard's own answer to its button."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from driving import URL, ask, drive, epoch, stored
from optuna.trial import TrialState
from optuna_dashboard import wsgi

from search.analysis.view import StudyView
from search.engine.failures import kind
from search.engine.messages import Ended, Failed, Lost, Message, Silent
from search.engine.trial import ActiveTrial
from search.reporting import page
from search.study.attributes import BY_HAND
from search.study.storage import open as storages


def tell(job: ActiveTrial, state: str = "fail", **more: Any) -> None:
    """What the dashboard's page sends when its button is pressed."""
    body = json.dumps({"state": state, **more}).encode()
    environ: dict[str, Any] = {"PATH_INFO": f"/api/trials/{job.trial._trial_id}/tell", "REQUEST_METHOD": "POST"}
    environ |= {"CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/json", "wsgi.input": io.BytesIO(body)}
    setup_testing_defaults(environ)
    statuses: list[str] = []
    wsgi(storages.connect(URL))(environ, lambda status, headers, error=None: statuses.append(status))
    assert statuses == ["204 No Content"]


def test_a_trial_failed_by_hand_stops_at_its_next_epoch_and_the_next_one_runs() -> None:
    driver, recorder = drive(trials=3, max_failures=1)
    job = ask(driver)
    assert driver.receive(job, epoch(0.5))
    tell(job)
    assert not driver.receive(job, epoch(0.6))
    driver.catch_up()
    trial = stored(driver.study, job.number)
    assert (trial.state, trial.intermediate_values) == (TrialState.FAIL, {1: 0.5})
    assert recorder.ends == [(job.number, TrialState.FAIL, BY_HAND)]
    assert kind(BY_HAND) == "stopped"
    second = ask(driver)
    assert second.number == 1
    assert not driver.receive(second, epoch(0.7, last=True))
    assert driver.counts == {TrialState.FAIL: 1, TrialState.COMPLETE: 1}
    assert not driver.finished
    assert f"- trial 0: {BY_HAND}\n" in page.render(StudyView(driver.study))


@pytest.mark.parametrize(
    "message",
    [
        Failed(0, "user_code: no"),
        Failed(0, "oom: no"),
        Silent(0, 3.0),
        Lost(0),
        Ended(0),
        epoch(float("nan")),
        epoch("no number"),
        epoch(0.6, last=True),
    ],
)
def test_whatever_comes_next_it_was_stopped_by_hand(message: Message) -> None:
    driver, recorder = drive(max_failures=1)
    job, other = ask(driver), ask(driver)
    assert driver.receive(job, epoch(0.5))
    tell(job)
    assert not driver.receive(job, message)
    driver.catch_up()
    assert recorder.ends == [(job.number, TrialState.FAIL, BY_HAND)]
    assert list(driver.live) == [other.number]


@pytest.mark.parametrize("last", [True, False])
def test_between_an_epoch_and_its_decision(last: bool) -> None:
    driver, recorder = drive()
    leader, job = ask(driver), ask(driver)
    driver.receive(leader, epoch(0.9))
    driver.callbacks.callbacks = [SimpleNamespace(on_epoch=tell, on_end=recorder.on_end)]
    assert not driver.receive(job, epoch(0.1, last=last))  # which would be COMPLETE, or PRUNED
    driver.catch_up()
    assert recorder.ends == [(job.number, TrialState.FAIL, BY_HAND)]
    assert stored(driver.study, job.number).state == TrialState.FAIL


def test_a_trial_that_was_told_complete_by_hand_counts_as_that() -> None:
    driver, recorder = drive()
    job = ask(driver)
    assert driver.receive(job, epoch(0.5))
    tell(job, "complete", values=[0.8])
    assert not driver.receive(job, epoch(0.6))
    driver.catch_up()
    assert recorder.ends == [(job.number, TrialState.COMPLETE, BY_HAND)]
    assert (driver.retention.leader, driver.counts) == ((0.8, job.number), {TrialState.COMPLETE: 1})


def test_an_engine_that_breaks_down_leaves_it_as_it_is() -> None:
    driver, _ = drive()
    job, other = ask(driver), ask(driver)
    tell(job)
    driver.orphaned()
    assert (driver.live, stored(driver.study, other.number).state) == ({}, TrialState.WAITING)
