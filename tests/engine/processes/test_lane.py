"""What a lane tells of a crew that answers, dies, hangs or is torn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from search.engine.messages import Closed, Drop, Ended, Failed, Lost, Silent
from search.engine.processes.crew import Crew
from search.engine.processes.lane import Lane


class Fake:
    """A crew that answers with what it was given, or raises that."""

    torn = False

    def __init__(self, *answers: Any) -> None:
        self.answers, self.sent, self.closed = list(answers), list[Any](), list[bool]()
        self.meetings = list[bool]()

    def send(self, what: Any) -> None:
        self.sent.append(what)

    send_bytes = send

    def met(self) -> bool:
        return self.meetings.pop(0)

    def receive(self) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def how_it_died(self) -> str:
        return "SIGKILL"

    def close(self, hangs: bool = False) -> None:
        self.closed.append(hangs)


def lane_of(*crews: Fake, patience: float | None = None) -> Lane:
    left = [*crews]
    return Lane(cast(Callable[[], Crew], lambda: left.pop(0)), patience)


def test_a_crew_serves_one_trial_after_another() -> None:
    crew = Fake(Ended(1), Closed(1, "it raised"), Ended(2))
    lane = lane_of(crew)
    lane.begin(b"first", 1)
    assert (lane.message(), lane.drop()) == (Ended(1), "it raised")
    lane.begin(b"second", 2)
    lane.ask()  # has been asked already
    assert lane.message() == Ended(2)
    assert crew.sent == [b"first", Drop(1), b"second"]
    assert crew.closed == []


def test_a_late_message_is_not_the_next_trials() -> None:
    crew = Fake(Ended(1), Ended(2))
    lane = lane_of(crew)
    lane.begin(b"first", 1)
    lane.begin(b"second", 2)
    assert lane.message() == Ended(2)


@pytest.mark.parametrize(
    ("answer", "patience", "told", "hangs"),
    [
        (EOFError(), None, Lost(1, "SIGKILL"), False),
        (ConnectionResetError(), 3.0, Lost(1, "SIGKILL"), False),
        (TimeoutError(), 3.0, Silent(1, 3.0), True),
        (Failed(1, "cuda: broken", broken=True), None, Failed(1, "cuda: broken", broken=True), False),
        (Failed(1, "gone", missing=True), None, Failed(1, "gone", missing=True), False),
    ],
)
def test_a_crew_of_no_more_use_is_replaced(answer: Any, patience: float | None, told: Any, hangs: bool) -> None:
    dead, new = Fake(answer), Fake(Ended(2))
    lane = lane_of(dead, new, patience=patience)
    lane.begin(b"first", 1)
    assert lane.message() == told
    assert (dead.closed, lane.connection) == ([hangs], None)
    lane.begin(b"second", 2)
    assert lane.message() == Ended(2)


@pytest.mark.parametrize(
    ("answer", "said"),
    [(EOFError(), "ended its process"), (TimeoutError(), "took longer than 3 s, and its process was ended")],
)
def test_a_training_that_cannot_be_closed_is_said(answer: Exception, said: str) -> None:
    crew = Fake(Ended(1), answer)
    lane = lane_of(crew, patience=3.0)
    lane.begin(b"first", 1)
    lane.message()
    assert lane.drop() == said
    assert len(crew.closed) == 1
    assert lane.drop() == ""


def test_the_number_of_a_new_process_is_no_answer() -> None:
    crew = Fake(Ended(1))
    crew.meetings = [False, True]
    lane = lane_of(crew)
    lane.begin(b"first", 1)
    assert (lane.has_begun(), lane.has_begun(), lane.message()) == (False, True, Ended(1))


def test_a_lane_is_overdue_after_its_patience() -> None:
    assert not lane_of(Fake()).overdue
    assert not lane_of(Fake(), patience=60.0).overdue
    lane = lane_of(Fake(), patience=-1.0)
    lane.begin(b"first", 1)
    assert lane.overdue
