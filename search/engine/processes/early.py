"""The first trials of a run, in processes of this machine: they begin before Ray is there, and Tune takes over."""

from __future__ import annotations

import time
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


class Early:
    """Trials side by side in processes that this one asks the fork server for, each of which serves many."""

    def __init__(self, driver: Driver, fork_server: ForkServer, workplace: WorkerConfig, slots: int) -> None:
        self._driver, self._fork_server = driver, fork_server
        self._own = workplace.own_train is not None
        environment = {"OMP_NUM_THREADS": str(workplace.threads)}  # as Ray has it for its workers
        connect = partial(Crew, fork_server.address, workplace, environment)
        self._idle = [Lane(connect, workplace.patience) for _ in range(slots)]
        self._busy: dict[Lane, ActiveTrial] = {}
        self._closing: dict[Lane, int] = {}
        self._leaving = False

    @property
    def active(self) -> list[ActiveTrial]:
        """The trials that run here."""
        return [*self._busy.values()]

    @property
    def waits(self) -> bool:
        """Whether a trial runs here, or the training of one is still being closed."""
        return bool(self._busy or self._closing)

    def run(self, until: float) -> bool:
        """Run the driver's trials until all have ended, or a time of the monotonic clock; returns whether they have.

        Raises whatever the driver raises, LimitReached.
        """
        while True:
            if self._driver.over:
                raise LimitReached
            while self._idle and (job := self._driver.next()) is not None:
                self._begin(self._idle.pop(), job)
            if not self.waits and self._driver.finished:
                return True
            if time.monotonic() >= until:
                break
            if not self.look():
                self._driver.catch_up()
                self.look(min(TICK, max(0.0, until - time.monotonic())))
        self._leaving = True
        for lane in self._idle:
            lane.give_up()
        return False

    def look(self, timeout: float = 0.0) -> bool:
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
            if lane.overdue:
                self._lost(lane, TimeoutError())
        return bool(ready)

    def _begin(self, lane: Lane, job: ActiveTrial) -> None:
        self._busy[lane] = job
        try:
            lane.ready().meet()
            lane.begin(job.order.packed(), job.attempt)
        except _GONE as error:
            self._lost(lane, error)

    def _heard(self, lane: Lane) -> None:
        """Take in the message that a lane has."""
        if lane in self._closing:
            try:
                self._closed(lane, lane.dropped())
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
            self._free(lane)
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
        self._free(lane)
        self._driver.receive(job, message)

    def _closed(self, lane: Lane, raised: str) -> None:
        number = self._closing.pop(lane)
        self._free(lane)
        self._driver.closed(number, raised)

    def _free(self, lane: Lane) -> None:
        """The lane has no trial any more. Once Tune has taken over, it gets no other."""
        self._idle.append(lane)
        if self._leaving:
            lane.give_up()

    def end(self) -> None:
        """Let go of all processes, which close what they opened."""
        for lane in [*self._idle, *self._busy, *self._closing]:
            lane.give_up()
