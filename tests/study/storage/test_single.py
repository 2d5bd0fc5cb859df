"""How often a database is asked: over a network, each statement is a round trip."""

from __future__ import annotations

import pytest
from driving import Driven, ask
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState
from sqlalchemy import event

from benchmarks.load import space
from search.engine.messages import Report
from search.engine.rules import Rules
from search.study.storage import internals, rdb
from search.study.study import load_study, open_study


def test_an_epoch_is_one_statement_and_a_trial_few(database: str) -> None:
    study = open_study(database, "s", space())
    driver = Driven(study, space(), Rules(trials=100))
    for _ in range(3):
        driver.receive(ask(driver), Report(0, {"score": 0.5, "seconds": 0.0}, 0, last=True))
    statements: list[str] = []
    storage = internals.uncached(internals.storage_of(study))
    assert isinstance(storage, rdb.Storage)
    event.listen(storage.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    job = ask(driver)
    started = len(statements)
    driver.receive(job, Report(0, {"score": 0.5, "seconds": 0.0}, 0, last=False))
    assert len(statements) - started == 1, statements[started:]
    assert started <= 7, statements  # of 58
    del statements[:]
    driver.receive(job, Report(0, {"score": 0.5, "seconds": 0.0}, 0, last=True))
    assert len(statements) <= 5, statements


def test_what_is_written_at_once_is_read_again_and_a_finished_trial_is_refused(url: str) -> None:
    study = open_study(url, "s", space())
    trial = study.ask()
    values = {1: 0.5, 2: float("inf"), 3: float("-inf"), 4: -1e-300}
    for step, value in values.items():
        rdb.record(trial, {"epoch": {"x": [step, None, "é'\"\\"]}, "other": step}, step, value)
    rdb.record(trial, {"epoch": "again"}, 4, None)
    rdb.record(trial, {}, 5, 0.25)
    (read,) = load_study(url, "s").get_trials()
    assert read.intermediate_values == values | {5: 0.25}
    assert read.user_attrs == {"epoch": "again", "other": 4}
    study.tell(trial, state=TrialState.FAIL)
    with pytest.raises(UpdateFinishedTrialError):
        rdb.record(trial, {"epoch": "late"}, 6, 0.75)
    (read,) = load_study(url, "s").get_trials()
    assert (read.user_attrs["epoch"], 6 in read.intermediate_values) == ("again", False)
