"""Errors that a user can mend. Each is one clear line and an exit status, never a traceback."""

import os
from difflib import get_close_matches

COMMAND_LINE = "SEARCH_COMMAND_LINE"
"""The command sets this variable, which its processes inherit: messages then spell options as it does."""
SUBMITTED = "SEARCH_SUBMITTED"
"""In a job of a cluster: the command that submitted it, without passwords."""
_FLAGS = {"source": "from", "folder": "in"}
"""Options whose name in Python is another, for `from` and `in` are Python's own words."""


class SearchError(Exception):
    """A wrong option, a wrong file or missing data. The message names the place and the remedy."""

    exit_status = 2


class StorageFailed(SearchError):
    """The storage or the disk failed in the middle of a run."""

    exit_status = 3


class ClusterFailed(SearchError):
    """The cluster was lost in the middle of a run; once it is back, the same command goes on."""

    exit_status = 3


class Interrupted(KeyboardInterrupt):
    """A signal ended a run in good order. Its trials wait in the queue, and the user has read so."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.exit_status = 128 + number


class NothingCompleted(SearchError):
    """A run ended without one completed trial."""

    exit_status = 1


def flag(name: str) -> str:
    """How the command line spells the option of that name."""
    return "--" + _FLAGS.get(name, name).replace("_", "-")


def option(name: str, value: object = None) -> str:
    """An option as the caller wrote it: ``--run-dir X`` on the command line, ``run_dir=X`` in Python.

    `value`: None for the option alone; of ``set``, a text such as lr=0.1.
    """
    if on_command_line():
        return flag(name) if value is None else f"{flag(name)} {value}"
    if name == "set" and value is not None:
        setting, _, text = str(value).partition("=")
        return f"set={ {setting: text} }"
    return f"{name}={'' if value is None else value}"


def switch(name: str) -> str:
    """A switch that is turned on, as the caller writes it: ``--sealed``, or ``sealed=True`` in Python."""
    return flag(name) if on_command_line() else f"{name}=True"


def on_command_line() -> bool:
    """Whether the command started this process, itself or through another."""
    return COMMAND_LINE in os.environ


def spelling() -> dict[str, str]:
    """The environment with which a process on another machine spells options as this one does."""
    return {COMMAND_LINE: "1"} if on_command_line() else {}


def nearest(name: str, names: set[str]) -> str:
    """The end of a message about an unknown name: the nearest known name, or all of them."""
    close = get_close_matches(name, sorted(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(names))}"


def first_line(error: BaseException) -> str:
    """The first line of the text of `error`."""
    try:
        return (str(error).strip() or "no message").splitlines()[0]
    except Exception:  # a class of the user's code may raise here
        return "no message"


def one_line(error: BaseException, most: int = 400) -> str:
    """The text of `error` with its lines joined, and cut after `most` characters: torch says the cause below."""
    first = first_line(error)
    whole = " ".join(str(error).split()) if first != "no message" else first
    return whole if len(whole) <= most else f"{whole[:most]} ..."


def visible(text: str) -> str:
    """`text` on one line, with control and invisible characters escaped as Python writes them."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
