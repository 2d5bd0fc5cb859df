"""A train() of the space file as the worker calls it: what it may yield, and what closing it says."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.engine.messages import Ended, Failed, Message, Order, Pruned, Report, WorkerConfig
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


@pytest.mark.parametrize(
    ("last", "says"),
    [
        ("pass", ""),
        ("raise OSError('the disk is full')", "user_code: own.py:6: raise OSError('the disk is full'): OSError"),
        ("yield {}", "train() yielded again when it was closed"),
    ],
)
def test_what_closing_a_train_raises_is_said(write: Write, tmp_path: Path, last: str, says: str) -> None:
    body = f"    try:\n        yield {{'score': 1}}\n    finally:\n        {last}\n"
    path = write("own.py", f"space = None\ndef train(config):\n{body}")
    worker = Worker(WorkerConfig(str(tmp_path), "cpu", 1, str(path)))
    worker.start(Order(1, {}))
    assert isinstance(worker.step(), Report)
    assert worker.close().startswith(says)
    assert worker.close() == ""
    assert isinstance(worker.step(), Ended)


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
