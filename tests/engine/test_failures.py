"""The classes of failure, and the user's own line first."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import torch
from optuna.samplers import GridSampler

from search import Float, SearchSpace
from search.data.registry import open_source
from search.engine import failures
from search.engine.failures import CLASSES, kind, reason
from search.engine.messages import Failed, Order, Report, WorkerConfig
from search.engine.worker import Worker
from search.errors import SearchError
from search.space import module
from search.space.file import load_train
from search.train.trainer import Diverged

OWN = """
    import json

    def helper(text):
        return json.loads(text)

    def train(config):
        yield {"score": helper(config["text"])}
        raise RuntimeError
"""


def raises(error: Exception) -> None:
    raise error


def raised(work: Callable[[], object]) -> Exception:
    try:
        work()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_the_users_own_line_comes_first(write: Callable[[str, str], Path]) -> None:
    train = load_train(str(write("own.py", OWN)))
    assert train is not None
    said = reason(raised(lambda: list(train({"text": "{"}))))
    assert said.startswith("user_code: own.py:5: return json.loads(text): JSONDecodeError: Expecting property name")
    assert reason(raised(lambda: list(train({"text": "1"})))) == "user_code: own.py:9: raise RuntimeError: RuntimeError"


@pytest.mark.parametrize(
    ("work", "says"),
    [
        (lambda: torch.empty(2**60, dtype=torch.uint8), "oom: "),
        (lambda: raises(RuntimeError("CUDA driver error: out of memory")), "oom: CUDA driver error: out of memory; "),
        (lambda: raises(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`")), "oom: "),
        (lambda: raises(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")), "oom: "),
        (lambda: bytearray(2**60), "oom: MemoryError; a smaller batch may fit"),
        (lambda: open_source("caltech101", Path("absent")).splits(), "bad_data: "),
        (lambda: torch.ones(2, 3) @ torch.ones(2, 3), "user_code: test_failures.py:"),
    ],
)
def test_what_is_raised_has_its_class(work: Callable[[], object], says: str) -> None:
    said = reason(raised(work))
    assert said.startswith(says)
    assert "\n" not in said


THROUGH = """
    import importlib
    from dataclasses import dataclass

    @dataclass
    class Width:
        width: int
        def __post_init__(self):
            self.width.nothing

    def imports():
        importlib.import_module("colon:name.x")

    def makes():
        Width(3)

    def generated():
        exec("1 / 0")
"""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("imports", 'own.py:12: importlib.import_module("colon:name.x"): ModuleNotFoundError: '),
        ("makes", "own.py:9: self.width.nothing: AttributeError: "),
        ("generated", 'own.py:18: exec("1 / 0"): ZeroDivisionError: division by zero'),
    ],
)
def test_code_that_stands_in_no_file_is_not_the_users_line(
    write: Callable[[str, str], Path], name: str, says: str
) -> None:
    found = module.load(write("own.py", THROUGH))
    assert reason(raised(found[name])).startswith(f"user_code: {says}")


def test_where_nothing_is_the_users_own_lines_are_not_taken_for_theirs() -> None:
    grid = GridSampler({"y": [0.5]})
    trial = optuna.create_study(sampler=grid).ask()
    said = reason(raised_here(lambda: SearchSpace(x=Float(0, 1)).suggest(trial)))
    assert re.fullmatch(
        "user_code: ValueError: The parameter name, x, is not found in the given grid. "
        r"\(at search/space/space.py:\d+\)",
        said,
    )


def raised_here(work: Callable[[], object]) -> Exception:
    """What `work` raises, as it leaves the package: without the frames of this file."""
    error = raised(work)
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return error.with_traceback(trace)


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_packages_of_another_environment_are_installed(folder: str, write: Callable[[str, str], Path]) -> None:
    found = module.load(write(f"lib/{folder}/theirs.py", "def fails():\n    1 / 0\n"))
    assert reason(raised(lambda: found["fails"]())).startswith("user_code: test_failures.py:")


def test_what_was_never_raised_has_no_line() -> None:
    assert reason(Diverged("the training loss is nan")) == "diverged: the training loss is nan"
    assert reason(SearchError("put it there")) == "user_code: put it there"
    assert reason(ValueError("no\nand more")) == "user_code: ValueError: no and more"


def test_the_class_is_read_back() -> None:
    assert [kind(f"{name}: text") for name in CLASSES] == list(CLASSES)
    assert kind("its worker process died") == kind("oomph: x") == ""


def test_a_dead_workers_reason_guesses_nothing() -> None:
    assert failures.deaths(3) == "node_lost: its worker process died 3 times"
    assert failures.deaths(3, "SIGKILL") == "node_lost: its worker process died 3 times, the last time by SIGKILL"


OTHER = """
def train(config):
    batches = iter([1])
    for _ in range(2):
        batch = next(batches)
        yield {"score": 0.5}
"""


def test_an_iterator_that_ended_is_placed_at_the_users_line(write: Callable[[str, str], Path]) -> None:
    worker = Worker(WorkerConfig("data", "cpu", 1, own_train=str(write("own.py", OTHER))))
    worker.start(Order(1, {}))
    assert isinstance(worker.step(), Report)
    assert worker.step() == Failed(
        1, "user_code: own.py:5: batch = next(batches): StopIteration: next() of an iterator that has ended"
    )


def test_a_return_is_said_to_be_one(write: Callable[[str, str], Path]) -> None:
    text = "def train(config):\n    return {'score': 0.5}\n"
    worker = Worker(WorkerConfig("data", "cpu", 1, own_train=str(write("own.py", text))))
    worker.start(Order(1, {}))
    said = "train() returned a dict where it must yield one an epoch: write `yield` for `return`"
    assert worker.step() == Failed(1, f"user_code: own.py:1: {said}")
