"""The classes of failure, and the user's own line first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from search.data.registry import open_source
from search.engine.failures import CLASSES, kind, reason
from search.errors import SearchError
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
        (lambda: bytearray(2**60), "oom: MemoryError; a smaller batch_size may fit"),
        (lambda: open_source("caltech101", Path("absent")).splits(), "bad_data: "),
        (lambda: torch.ones(2, 3) @ torch.ones(2, 3), "user_code: test_failures.py:"),
    ],
)
def test_what_is_raised_has_its_class(work: Callable[[], object], says: str) -> None:
    said = reason(raised(work))
    assert said.startswith(says)
    assert "\n" not in said


def test_what_was_never_raised_has_no_line() -> None:
    assert reason(Diverged("the training loss is nan")) == "diverged: the training loss is nan"
    assert reason(SearchError("put it there")) == "user_code: put it there"
    assert reason(ValueError("no\nand more")) == "user_code: ValueError: no"


def test_the_class_is_read_back() -> None:
    assert [kind(f"{name}: text") for name in CLASSES] == list(CLASSES)
    assert kind("its worker process died") == kind("oomph: x") == ""
