"""What ends a run early: after any sequence of trials, what a count over all of them says."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import Cli
from driving import ask, drive, epoch, stored
from hypothesis import given
from hypothesis import strategies as st
from live import CORES
from optuna.trial import TrialState, create_trial

from search.engine.driver import Driver
from search.engine.messages import Failed
from search.study.ending.prospect import prospect, room, worth
from search.study.ending.stopping import Budget, Stopping
from search.study.study import load_study


class End(NamedTuple):
    """A trial that ended: its value, None if it was pruned; its seconds; its share of a GPU."""

    value: float | None
    seconds: float
    gpus: float


ENDS = st.lists(
    st.builds(
        End,
        st.none() | st.sampled_from((0.25, 0.5, 0.75, 1.0)),
        st.floats(0, 1e5),
        st.sampled_from((0.0, 0.25, 1.0)),
    ),
    max_size=30,
)


def told(stopping: Stopping, ends: list[End]) -> str | None:
    for number, end in enumerate(ends):
        for part in (0.5, 1.0):  # after each epoch, all of the trial's epochs
            stopping.spend(number, end.seconds * part, {"gpus": end.gpus, "cpus": 2})
        stopping.ended(number, end.value)
    reached = stopping.reached()
    return reached.option if reached else None


@given(ENDS, st.booleans(), st.sampled_from((0.3, 0.5, 1.0)))
def test_until_is_reached_exactly_when_one_completed_so_well(ends: list[End], maximize: bool, goal: float) -> None:
    values = [end.value for end in ends if end.value is not None]
    there = any(value >= goal if maximize else value <= goal for value in values)
    assert told(Stopping(until=goal, maximize=maximize), ends) == ("until" if there else None)


@given(ENDS, st.booleans(), st.integers(1, 8))
def test_patience_counts_those_that_ended_since_the_first_of_the_best(
    ends: list[End], maximize: bool, patience: int
) -> None:
    values = [end.value for end in ends]
    done = [value for value in values if value is not None]
    since = len(ends) - 1 - values.index(max(done) if maximize else min(done)) if done else 0
    assert told(Stopping(patience=patience, maximize=maximize), ends) == ("patience" if since >= patience else None)


@given(ENDS, st.booleans(), st.sampled_from((0, 10, 1000)))
def test_auto_patience_ends_where_more_is_not_worth_it(ends: list[End], maximize: bool, images: int) -> None:
    stopping, values = Stopping(patience="auto", maximize=maximize), list[float]()
    stopping.count_in([], "val_acc")
    error = (0.09 / images) ** 0.5 if images else None
    for number, end in enumerate(ends, 1):
        stored = create_trial(value=0.9, user_attrs={"val_images": images})
        stopping.ended(number, end.value, stored)
        values += [] if end.value is None else [end.value if maximize else -end.value]
        most = room(values, maximize, "val_acc") if values else 0.0
        enough = len(values) >= 8 and prospect(values, number, most=most).high <= worth(values, max(values), error)
        assert (stopping.reached() is not None) == enough


@given(ENDS, st.floats(0.001, 50))
def test_a_budget_is_what_all_trials_took_together(ends: list[End], hours: float) -> None:
    for device, spent in (
        ("gpu", math.fsum(end.seconds * end.gpus for end in ends) / 3600),
        ("cpu", math.fsum(end.seconds * 2 for end in ends) / 3600),
    ):
        stopping = Stopping(budget=Budget(hours, "gpu" if device == "gpu" else "cpu"))
        option = told(stopping, ends)
        assert stopping.hours == pytest.approx(spent, abs=1e-9)
        if abs(spent - hours) > 1e-6:
            assert option == ("budget" if spent > hours else None)


def test_only_patience_lets_go_on_what_runs_and_time_goes_before_it() -> None:
    stopping = Stopping(patience=1, budget=Budget(1, "cpu"), until=0.9)
    stopping.ended(3, 0.5)
    stopping.ended(4, None)
    reached = stopping.reached()
    assert reached is not None
    assert (reached.at_once, reached.why) == (
        False,
        "patience=1: of the last 1 trial none was better than trial 3",
    )
    stopping.deadline = time.monotonic() - 1
    reached = stopping.reached()
    assert reached is not None
    assert (reached.at_once, reached.option, reached.why) == (True, "timeout", "the time is over")
    stopping.spend(4, 4000, {"gpus": 0, "cpus": 1})
    reached = stopping.reached()
    assert reached is not None
    assert (reached.at_once, reached.why) == (True, "budget=1cpuh is spent: 1.11 CPU-hours")
    stopping.ended(5, 0.95)
    reached = stopping.reached()
    assert reached is not None
    assert (reached.at_once, reached.why) == (True, "until=0.9 is reached: trial 5 has 0.95")


def finish(driver: Driver, score: float) -> None:
    driver.receive(ask(driver), epoch(score, last=True))


def test_patience_waits_for_those_that_run_and_a_better_one_lets_the_search_go_on() -> None:
    driver, _ = drive(trials=20, stopping=Stopping(patience=2))
    finish(driver, 0.5)
    late = [ask(driver), ask(driver), ask(driver)]
    driver.receive(late[0], epoch(0.4, last=True))
    driver.receive(late[1], Failed(0, "user_code: no"))  # says nothing
    assert driver.stopping.reached() is None
    other = ask(driver)
    driver.receive(other, epoch(0.3, last=True))
    assert driver.stopping.reached() is not None
    assert driver.next() is None
    assert (driver.over, driver.finished) == (False, False)
    driver.receive(late[2], epoch(0.6, last=True))
    assert driver.stopping.best == (0.6, late[2].number)
    finish(driver, 0.1)
    finish(driver, 0.1)
    assert driver.finished
    assert len(driver.study.get_trials()) == 7


def test_a_later_run_knows_what_earlier_ones_had_and_spent() -> None:
    driver, _ = drive(trials=20, stopping=Stopping(patience=3))
    finish(driver, 0.5)
    first, second = ask(driver), ask(driver)
    cost = {"gpus": 0.5, "cpus": 3}
    driver.receive(first, replace(epoch(0.9, seconds=3600.0), cost=cost))
    driver.receive(second, epoch(0.7, last=True))  # ends before the first, which is better
    driver.receive(first, epoch(0.9, seconds=3600.0, last=True))
    driver.receive(ask(driver), epoch(0.1))  # pruned
    running = ask(driver)
    assert driver.receive(running, replace(epoch(0.95, seconds=1800.0), cost=cost))

    stopping = Stopping(patience=2, budget=Budget(1.25, "gpu"), until=0.95)
    driver, _ = drive(trials=20, stopping=stopping)
    assert (stopping.best, stopping.since) == ((0.9, first.number), 1)
    assert stopping.hours == pytest.approx(1.25)
    assert driver.over
    assert driver.next() is None
    assert stored(driver.study, running.number).state == TrialState.WAITING
    stopping.budget = Budget(1.3, "gpu")
    again = ask(driver)
    assert again.number == running.number
    driver.receive(again, epoch(0.95, seconds=400.0))  # without a word of what it takes: the attempt before knew
    assert stopping.hours == pytest.approx(1.25 + 400 * 0.5 / 3600)
    assert driver.over  # and so it goes back again


def test_a_limit_that_is_reached_with_the_last_trial_is_not_what_ended_the_run() -> None:
    driver, _ = drive(trials=1, stopping=Stopping(until=0.4))
    finish(driver, 0.5)
    assert driver.stopping.reached() is not None
    assert driver.finished
    assert not driver.over


REACHES = """
    import time
    from pathlib import Path
    from search import Float

    going = Path(__file__).with_name("going")  # the slow one's first epoch has been reported
    kinds = "slow poor good good".split()
    metric, trials = "score", 8

    def space(trial):
        return {"x": trial.suggest_float("x", 0, 1), "kind": kinds[trial.number], "epochs": 3}

    def train(config):
        for epoch in range(3):
            if config["kind"] == "slow" and epoch:
                going.touch()
                time.sleep(600)
            while config["kind"] == "good" and not going.exists():
                time.sleep(0.01)
            yield {"score": {"slow": 0.99, "poor": 0.2, "good": 0.96}[config["kind"]]}
"""


@pytest.mark.usefixtures("sys_path")
def test_a_value_reached_ends_the_run_at_once_and_what_runs_goes_back(
    cli: Cli, write: Callable[[str, str], Path]
) -> None:
    write("space.py", REACHES)
    result = cli("run", "space.py", "--until", 0.95, "--cpus-per-trial", CORES / 2)
    assert result.status == 0, result
    assert (
        "--until 0.95 is reached: trial 2 has 0.96; 2 of 8 trials are done; to go on, change --until in:" in result.out
    )
    slow, poor, good, *_ = load_study("sqlite:///studies.db", "space").get_trials()
    assert [trial.state.name for trial in (slow, poor, good)] == ["WAITING", "COMPLETE", "COMPLETE"]
    assert slow.intermediate_values == {1: 0.99}  # its last epoch would have counted, not its first
