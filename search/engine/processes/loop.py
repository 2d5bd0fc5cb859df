"""Trials side by side in processes of this machine, without Ray: they begin at once."""

from __future__ import annotations

from functools import partial
from multiprocessing.connection import Connection, wait

from search.engine.base import LimitReached
from search.engine.driver import Driver
from search.engine.failures import RunAborted
from search.engine.messages import Failed, Message, Report, WorkerConfig
from search.engine.processes.crew import Crew
from search.engine.processes.forkserver import Died, ForkServer
from search.engine.processes.lane import Lane
from search.engine.trial import ActiveTrial

TICK = 0.25
"""Seconds after which the limits of the run are looked at, whether a message came or not."""
_GONE = (EOFError, OSError, Died)


class Loop:
    """Trials side by side in processes that this one asks the fork server for, each of which serves many."""

    def __init__(self, driver: Driver, fork_server: ForkServer, workplace: WorkerConfig, slots: int) -> None:
        self._driver, self._fork_server = driver, fork_server
        self._own = workplace.own_train is not None
        environment = {"OMP_NUM_THREADS": str(workplace.threads)}  # as Ray has it for its workers
        connect = partial(Crew, fork_server.address, workplace, environment)
        self._idle = [Lane(connect, workplace.patience) for _ in range(slots)]
        self._busy: dict[Lane, ActiveTrial] = {}
        self._closing: dict[Lane, int] = {}

    def run(self) -> None:
        """Run the driver's trials to their ends. Raises whatever the driver raises, LimitReached."""
        while True:
            if self._driver.over:
                raise LimitReached
            while self._idle and (job := self._driver.next()) is not None:
                self._begin(self._idle.pop(), job)
            if not self._busy and not self._closing and self._driver.finished:
                return
            if not self._look():
                self._driver.catch_up()
                self._look(TICK)

    def _look(self, timeout: float = 0.0) -> bool:
        """Take in what came within `timeout` seconds; whether something did. Raises whatever the driver raises."""
        if self._fork_server.gone:
            raise RunAborted(self._fork_server.gone)
        self._driver.callbacks.keep_up()
        there = {lane.connection: lane for lane in [*self._busy, *self._closing]}
        ready = wait([one for one in there if one is not None], timeout)
        for connection in ready:
            assert isinstance(connection, Connection)
            self._heard(there[connection])
        for lane in [*self._busy, *self._closing]:
            if lane.overdue and not lane.has_answered:  # meanwhile, as a slow driver finds out late
                self._lost(lane, TimeoutError())
        return bool(ready)

    def _begin(self, lane: Lane, job: ActiveTrial) -> None:
        self._busy[lane] = job
        try:
            lane.begin(job.order.packed(), job.attempt)
        except _GONE as error:
            self._lost(lane, error)

    def _heard(self, lane: Lane) -> None:
        """Take in the message that a lane has."""
        try:
            if not lane.has_begun():
                return
            if lane in self._closing:
                self._closed(lane, lane.dropped())
                return
        except _GONE as error:
            self._lost(lane, error)
            return
        job, message = self._busy[lane], lane.message()
        if not self._driver.receive(job, message):
            self._end(lane, message)
            return
        try:
            lane.ask()
        except _GONE as error:
            self._lost(lane, error)

    def _end(self, lane: Lane, message: Message) -> None:
        """The lane's trial has ended with that message. The train() of a space file is closed at once."""
        number = self._busy.pop(lane).number
        if not self._own or not isinstance(message, (Report, Failed)) or lane.connection is None:
            self._idle.append(lane)
            return
        self._closing[lane] = number
        try:
            lane.ask_to_drop()
        except _GONE as error:
            self._lost(lane, error)

    def _lost(self, lane: Lane, error: Exception) -> None:
        """Something went wrong with the lane's processes."""
        if lane in self._closing:
            self._closed(lane, lane.not_dropped(error))
            return
        job, message = self._busy.pop(lane), lane.lost(error)
        self._idle.append(lane)
        self._driver.receive(job, message)

    def _closed(self, lane: Lane, raised: str) -> None:
        number = self._closing.pop(lane)
        self._idle.append(lane)
        self._driver.closed(number, raised)

    def end(self) -> None:
        """Let go of all processes, which close what they opened."""
        for lane in [*self._idle, *self._busy, *self._closing]:
            lane.give_up()
