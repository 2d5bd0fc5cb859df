"""A train() of the space file as the worker calls it: what it may yield, and what closing it says."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.engine.messages import Closed, Ended, Failed, Message, Order, Pruned, Report, WorkerConfig
from search.engine.worker import Worker

pytestmark = pytest.mark.usefixtures("sys_path")
Write = Callable[[str, str], Path]


def drawn(worker: Worker, settings: dict[str, Any]) -> list[Message]:
    """All messages of a trial."""
    worker.start(Order(7, settings))
    messages = [worker.step()]
    while isinstance(messages[-1], Report):
        messages.append(worker.step())
    return messages


STUCK = "it is closed and yields again, so it is left there: let GeneratorExit pass, and yield nothing in a `finally`"
HELD = """
space, closed = None, []
def inner():
    for epoch in range(3):
        try:
            yield {"score": epoch}
        except BaseException as error:
            closed.append(type(error))
            continue
def outer():
    try:
        yield {"score": 1}
    finally:
        closed.append(GeneratorExit)
        HERE
def train(config):
    return outer() if config["way"] == "itself" else another(config["way"])
def another(way):
    if way == "from":
        yield from inner()
    else:
        for epoch in inner():
            yield epoch
"""


@pytest.mark.parametrize(
    ("way", "here", "says", "stuck"),
    [
        ("itself", "pass", "", False),
        ("itself", "raise OSError('the disk is full')", "user_code: own.py:15: raise OSError('the disk is", False),
        ("itself", "yield {}", f"own.py:15: {STUCK}", True),
        ("from", "", f"own.py:6: {STUCK}", True),
        ("by a loop", "", f"own.py:6: {STUCK}", True),
    ],
)
def test_what_closing_a_train_raises_is_said(
    write: Write, tmp_path: Path, capfd: pytest.CaptureFixture[str], way: str, here: str, says: str, stuck: bool
) -> None:
    path = write("own.py", HELD.replace("HERE", here))
    worker = Worker(WorkerConfig(str(tmp_path), "cpu", 1, str(path)))
    worker.start(Order(1, {"way": way}))
    assert isinstance(worker.step(), Report)
    closed = worker.close()
    assert (closed.raised.startswith(says), bool(closed.raised), closed.stuck) == (True, bool(says), stuck), closed
    assert worker.close() == Closed(1)
    assert isinstance(worker.step(), Ended)
    gc.collect()
    assert capfd.readouterr() == ("", "")
    assert worker._own is not None
    assert worker._own.__globals__["closed"] == [GeneratorExit]  # once


def test_what_closing_raises_does_not_hide_why_a_trial_failed(write: Write, tmp_path: Path) -> None:
    path = write("own.py", HELD.replace("HERE", "1 / 0").replace('{"score": 1}', "[1]"))
    worker = Worker(WorkerConfig(str(tmp_path), "cpu", 1, str(path)))
    (message,) = drawn(worker, {"way": "itself"})
    assert isinstance(message, Failed)
    assert message.reason.startswith("user_code: own.py:12: train() yielded a list")
    assert worker.close().raised.startswith("user_code: own.py:15: 1 / 0: ZeroDivisionError")


def test_a_train_may_say_that_its_trial_is_pruned(write: Write, tmp_path: Path) -> None:
    body = "    raise __import__('optuna').TrialPruned('too large')\n    yield {}\n"
    path = write("own.py", f"space = None\ndef train(config):\n{body}")
    (message,) = drawn(Worker(WorkerConfig(str(tmp_path), "cpu", 1, str(path))), {})
    assert message == Pruned(7, "too large")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return [1]", "2: train() yielded an int; it must yield a dict"),
        ("return None", "2: train() returned None; it must yield"),
        ("yield {'score': __import__('numpy').zeros(2)}", "3: train() yielded 'score' as a ndarray"),
        ("yield {0: 0.5}", "3: train() yields the key 0, an int; a key is a text, such as 'score'"),
        (
            "yield {'score': 1, 'seconds': '3 s'}",
            "3: train() yields '3 s' as 'seconds', the time that the step took; "
            "give it a number of seconds without a unit, 0 or more",
        ),
        ("yield {'score': 1, 'seconds': -1}", "3: train() yields -1 as 'seconds'"),
        ("yield {'score': 1, 'seconds': True}", "3: train() yields True as 'seconds'"),
        ("yield {'score': 1, 'seconds': None}", "3: train() yields None as 'seconds'"),
    ],
)
def test_a_train_that_is_no_generator_of_dicts(write: Write, tmp_path: Path, body: str, says: str) -> None:
    path = write("odd.py", f"space = None\ndef train(config):\n    {body}\n")
    (message,) = drawn(Worker(WorkerConfig(str(tmp_path), "cpu", 1, str(path))), {})
    assert isinstance(message, Failed)
    assert message.reason.startswith(f"user_code: odd.py:{says}")


def test_a_script_that_reads_its_words_gets_their_defaults(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["search", "run", "script.py", "--trials", "3"])
    text = """
import argparse, sys
parser = argparse.ArgumentParser()
parser.add_argument("--momentum", type=float, default=0.9)
early = parser.parse_args()

def train(config):
    for _ in range(2):
        yield {"score": early.momentum + parser.parse_args().momentum, "name": sys.argv[0]}
"""
    path = write("script.py", text)
    *reports, end = drawn(Worker(WorkerConfig(str(tmp_path), "cpu", 1, str(path))), {})
    assert end == Ended(7)
    assert [report.epoch["score"] for report in reports if isinstance(report, Report)] == [1.8, 1.8]
    assert sys.argv[0] == "search"
