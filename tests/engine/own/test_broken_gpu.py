"""After a CUDA error other than a lack of memory, a process trains no more: its errors are faked, for lack of a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import search
from search.engine.failures import breaks_gpu
from search.errors import SearchError

OWN = """
    import os
    metric, trials = "score", 3
    def space(trial):
        return {"number": trial.number}
    def train(config):
        yield {"score": 1, "pid": os.getpid()}
        if config["number"] == 1:
            raise RuntimeError("CUDA error: device-side assert triggered")
        yield {"score": 2, "pid": os.getpid()}
"""


@pytest.mark.parametrize(
    ("error", "breaks"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be"), True),
        (RuntimeError("CUDA error: out of memory"), False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("CUDA error: of the user's own making"), False),
    ],
)
def test_which_errors_leave_no_gpu(error: Exception, breaks: bool) -> None:
    assert breaks_gpu(error) == breaks


def test_the_next_trial_gets_a_new_process(write: Callable[[str, str], Path]) -> None:
    study = search.run(write("own.py", OWN), cpus_per_trial=2)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    first, broken, last = (trial.user_attrs["epoch"]["pid"] for trial in study.trials)
    assert first == broken != last


def test_this_process_gives_up(write: Callable[[str, str], Path]) -> None:
    path = write("own.py", OWN)
    with pytest.raises(SearchError, match="device-side assert triggered; this process can use its GPU no more: start"):
        search.run(path, engine="inline")
    assert [trial.state.name for trial in search.load_study("own").trials] == ["COMPLETE", "FAIL"]
    assert search.run(path, engine="inline").trials[2].state.name == "COMPLETE"
