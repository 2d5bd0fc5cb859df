"""Where a config runs: what `auto` becomes, and what is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from search.errors import SearchError
from search.train.device import Runtime, resolve_runtime, same_draws


@pytest.fixture(autouse=True)
def threads() -> Iterator[int]:
    """torch's own number of threads, put back after the test."""
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_auto_precision_follows_the_processor() -> None:
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        pytest.skip("no /proc/cpuinfo to compare with")
    words = set(re.findall(r"\w+", info.read_text()))
    gains = {"amx_bf16"} if "GenuineIntel" in words else {"avx512_bf16", "amx_bf16"}
    assert resolve_runtime("auto", "cpu").precision == ("bf16" if words & gains else "fp32")


@pytest.mark.parametrize(
    ("name", "flags", "precision"),
    [
        ("AMD EPYC", {"avx512_bf16"}, "bf16"),
        ("Intel Xeon", {"avx512_bf16"}, "fp32"),
        ("Intel Xeon", {"avx512_bf16", "amx_bf16"}, "bf16"),
        ("AMD EPYC", set(), "fp32"),
        (None, {"avx512_bf16"}, "bf16"),
    ],
)
def test_auto_precision_of_other_processors(
    name: str | None, flags: set[str], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = dict.fromkeys(flags, True) | ({"cpu_name": name} if name else {})
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert resolve_runtime("auto", "cpu").precision == precision


def test_auto_device_is_the_gpu_if_there_is_one() -> None:
    assert resolve_runtime("fp32").device == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_precision_asked_for_is_taken(precision: str) -> None:
    runtime = resolve_runtime(precision, "cpu")
    assert runtime.precision == precision
    with runtime.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)
    assert runtime.memory_format == (torch.channels_last if precision == "bf16" else torch.contiguous_format)


def test_fp16_is_for_gpus() -> None:
    with pytest.raises(SearchError, match="precision='fp16' is for a CUDA device, and this is a CPU"):
        resolve_runtime("fp16", "cpu")
    assert Runtime("cuda", "fp16", 1).memory_format == torch.channels_last


def test_threads(threads: int) -> None:
    assert resolve_runtime("fp32", "cpu").threads == threads
    assert resolve_runtime("fp32", "cpu", threads + 1).threads == torch.get_num_threads() == threads + 1
    assert resolve_runtime("fp32", "cpu").threads == threads + 1  # None leaves them


@pytest.mark.parametrize("wrong", [0, -1, 10**12])
def test_impossible_threads(wrong: int) -> None:
    with pytest.raises(SearchError, match=f"threads={wrong}"):
        resolve_runtime("fp32", "cpu", wrong)


def test_an_unknown_device() -> None:
    with pytest.raises(SearchError, match="device 'tpu': cpu or cuda"):
        resolve_runtime("fp32", "tpu")


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SearchError, match="device 'cuda': no CUDA device is visible here"):
        resolve_runtime("fp32", "cuda")


def test_a_gpu_is_told_to_repeat_itself_and_that_fp32_is_no_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU is faked: what cuBLAS and cuDNN are told stands in this process."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    told: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [each.allow_tf32 for each in told]
    try:
        for each in told:
            each.allow_tf32 = True
        assert resolve_runtime("fp32", "cuda").device == "cuda"
        assert not any(each.allow_tf32 for each in told)
    finally:
        for each, allowed in zip(told, before, strict=True):
            each.allow_tf32 = allowed
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_what_is_tried_in_between_touches_no_other_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    forked: list[list[torch.device]] = []

    def fork(devices: list[torch.device]) -> AbstractContextManager[None]:
        forked.append(devices)
        return nullcontext()

    monkeypatch.setattr(torch.random, "fork_rng", fork)
    for device in (torch.device("cpu"), torch.device("cuda", 1)):
        with same_draws(device):
            pass
    assert forked == [[], [torch.device("cuda", 1)]]


def test_the_description_goes_into_json() -> None:
    described = Runtime("cpu", "bf16", os.cpu_count() or 1).describe()
    assert json.loads(json.dumps(described)) == described
    assert described["device"] == "cpu"
    assert described["precision"] == "bf16"
    assert described["threads"] == (os.cpu_count() or 1)
    assert described["torch"] == torch.__version__
    assert described["device_name"]


def test_freed_memory_is_kept_for_the_next_tensor() -> None:
    """The heap's size after each of twenty tensors of 64 MiB; page faults also tell how short of memory the kernel is.

    What Python allocates beside the first ones may lie in the way of the next, so that the heap grows once more.
    """
    script = """
    import torch
    from pathlib import Path
    from search.train.device import resolve_runtime
    def sizes():
        for _ in range(20):
            torch.empty(2**24)
            for line in Path("/proc/self/maps").read_text().splitlines():
                if line.endswith("[heap]"):
                    start, end = (int(address, 16) for address in line.split()[0].split("-"))
                    yield end - start
    print(*sizes())
    resolve_runtime("fp32", "cpu", 1)
    print(*sizes())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True, text=True, check=True, env={**os.environ, "GLIBC_TUNABLES": ""},
    )  # fmt: skip
    plain, settled = ([int(size) for size in line.split()] for line in done.stdout.splitlines())
    assert len(plain) == len(settled) == 20
    assert max(plain) < min(settled)
    assert settled == sorted(settled)  # it does not shrink
    assert len(set(settled[10:])) == 1  # nor does it go on growing
    assert 2**26 <= settled[-1] < 10 * 2**26
