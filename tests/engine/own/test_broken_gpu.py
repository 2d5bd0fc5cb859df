"""After a CUDA error other than a lack of memory, a process trains no more: its errors are faked, for lack of a GPU.

That another process takes its place, test_ends.py shows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import search
from search.engine.failures import breaks_gpu
from search.engine.messages import Failed, Order, WorkerConfig
from search.engine.worker import Worker
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


def test_this_process_gives_up(write: Callable[[str, str], Path]) -> None:
    path = write("own.py", OWN)
    with pytest.raises(SearchError, match="device-side assert triggered; this process can use its GPU no more: start"):
        search.run(path, engine="inline")
    assert [trial.state.name for trial in search.load_study("own").trials] == ["COMPLETE", "FAIL"]
    assert search.run(path, engine="inline").trials[2].state.name == "COMPLETE"


FULL = """
    import weakref
    from optuna import Trial
    class Big: ...
    seen = []
    metric, trials = "score", 1
    def space(trial: Trial):
        return {}
    def train(config):
        big = Big()
        big.itself = big  # as a model and its hooks
        seen.append(weakref.ref(big))
        raise RuntimeError("CUDA error: out of memory")
        yield {"score": 1}
"""


def test_what_a_trial_without_memory_held_is_handed_back_at_once(
    write: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    worker = Worker(WorkerConfig(str(tmp_path), "cuda", 1, str(write("full.py", FULL))))
    alive: list[object] = []
    assert worker._own is not None
    seen = worker._own.__globals__["seen"]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.extend(each() for each in seen))
    worker.start(Order(1, {}))
    message = worker.step()
    assert isinstance(message, Failed)
    assert message.reason.startswith("oom: ")
    assert alive == [None]
