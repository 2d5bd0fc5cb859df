"""A place where one trial trains after another: the processes that serve it, and what became of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import cast

from search.engine.messages import Closed, Drop, Failed, Lost, Message, Silent
from search.engine.processes.crew import Crew


class Lane:
    """Orders trials of a crew, and passes its messages on. A crew that dies, hangs or is torn is replaced."""

    def __init__(self, connect: Callable[[], Crew], patience: float | None) -> None:
        """`connect`: a new crew. `patience`: seconds without a message after which it is given up; None: never."""
        self._connect, self._patience = connect, patience
        self._crew: Crew | None = None
        self._asked, self._attempt = False, 0
        self._since = time.monotonic()

    def ready(self) -> Crew:
        """The crew, a new one if there is none. Raises Died."""
        if self._crew is None:
            self._crew = self._connect()
        return self._crew

    def begin(self, order: bytes, attempt: int) -> None:
        """Have a trial begin. Raises Died, EOFError or OSError."""
        if self._crew is not None and self._asked:
            self._crew.receive()  # of a trial whose result is not needed any more
            if self._crew.torn:
                self.give_up()
        self._attempt = attempt
        self.ready().send_bytes(order)
        self._asked, self._since = True, time.monotonic()

    def ask(self) -> None:
        """Ask for the trial's next epoch. Raises EOFError or OSError."""
        if not self._asked:
            self.ready().send(None)
            self._asked, self._since = True, time.monotonic()

    def has_begun(self) -> bool:
        """Whether more than a new process's number has come, which is taken in. Raises EOFError or OSError."""
        if self.ready().met():
            return True
        self._since = time.monotonic()
        return False

    @property
    def has_answered(self) -> bool:
        """Whether a message has come that nobody has read."""
        return self.connection is not None and self.connection.poll()

    def message(self) -> Message:
        """The crew's next message, or what became of it."""
        try:
            self.ask()
            self._asked = False
            message = cast(Message, self.ready().receive())
        except (EOFError, OSError) as error:  # TimeoutError is one
            return self.lost(error)
        if isinstance(message, Failed) and (message.broken or message.missing or self.ready().torn):
            self.give_up()
        return message

    def lost(self, error: Exception) -> Message:
        """What to tell of a crew with which something went wrong. It is given up."""
        crew = self._crew
        self.give_up(error)
        if self._patience is None or not isinstance(error, TimeoutError):
            return Lost(self._attempt, crew.how_it_died() if crew else "")
        return Silent(self._attempt, self._patience)

    def drop(self) -> str:
        """Have the trial's training closed; returns what went wrong meanwhile, or nothing."""
        if self._crew is None:
            return ""
        try:
            self.ask_to_drop()
            return self.dropped()
        except (EOFError, OSError) as error:
            return self.not_dropped(error)

    def ask_to_drop(self) -> None:
        """Ask for the trial's end. Raises EOFError or OSError."""
        self.ready().send(Drop(self._attempt))
        self._since = time.monotonic()

    def dropped(self) -> str:
        """What the trial's code raised when it was closed. Raises EOFError or OSError."""
        closed = cast(Closed, self.ready().receive())
        if closed.stuck:
            self.give_up()
        return closed.raised

    def not_dropped(self, error: Exception) -> str:
        """What to say where the crew has not answered."""
        self.give_up(error)
        if isinstance(error, TimeoutError):
            return f"took longer than {self._patience:g} s, and its process was ended"
        return "ended its process"

    @property
    def connection(self) -> Connection | None:
        """What has a message to read once the crew has sent one; None without a crew."""
        return None if self._crew is None else self._crew.leader

    @property
    def overdue(self) -> bool:
        """Whether the crew has been asked, and has not answered for the patience."""
        return self._patience is not None and time.monotonic() - self._since > self._patience

    def give_up(self, error: Exception | None = None) -> None:
        """The next trial gets new processes. These may hang or be stopped."""
        if self._crew is not None:
            self._crew.close(hangs=isinstance(error, TimeoutError))
        self._crew, self._asked = None, False
