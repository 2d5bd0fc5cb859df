"""Where a config runs, and with what arithmetic."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, suppress
from ctypes import CDLL
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version

import torch

from search.errors import SearchError


@dataclass(frozen=True)
class Runtime:
    """A device, the precision there, and the CPU threads: what, beside the config, determines the numbers."""

    device: str
    """``cpu`` or ``cuda``."""
    precision: str
    """``fp32``, ``bf16`` or ``fp16``."""
    threads: int

    def autocast(self) -> AbstractContextManager[object]:
        """bf16 or fp16 where the precision says so; weights stay fp32."""
        half = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device, half, enabled=self.precision != "fp32")

    @property
    def memory_format(self) -> torch.memory_format:
        """channels_last beside half precision, where both CPUs (oneDNN) and GPUs (tensor cores) gain by it."""
        return torch.contiguous_format if self.precision == "fp32" else torch.channels_last

    def describe(self) -> dict[str, str | int]:
        """As the storage and the best-config YAML keep it, versions included."""
        name = torch.cuda.get_device_name() if self.device == "cuda" else torch.backends.cpu.get_cpu_capability()
        return {
            "device": self.device,
            "device_name": name,
            "precision": self.precision,
            "threads": self.threads,
            "torch": str(torch.__version__),
            "torchvision": version("torchvision"),
        }


def cores() -> int:
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def resolve_runtime(precision: str, device: str = "auto", threads: int | None = None) -> Runtime:
    """Choose what `auto` means on this machine and set this process to it.

    Raises SearchError for a device that is not here, fp16 on a CPU, or a number of threads that none can have.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise SearchError(
            f"device {device!r}: {'no CUDA device is visible here' if device == 'cuda' else 'cpu or cuda'}"
        )
    if precision == "auto":
        precision = "bf16" if _has_bf16(device) else "fp32"
    if precision == "fp16" and device == "cpu":
        raise SearchError("precision='fp16' is for a CUDA device, and this is a CPU; bf16 and fp32 run on both")
    if threads is not None and not 1 <= threads <= 4096:
        raise SearchError(f"threads={threads}: a number from 1 to 4096")
    if threads is not None and threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    _keep_memory()
    torch.backends.cudnn.deterministic = True  # same config and seed, same numbers
    torch.backends.cudnn.benchmark = False
    return Runtime(device, precision, torch.get_num_threads())


@lru_cache(maxsize=1)
def _keep_memory() -> None:
    """Have glibc keep what tensors free: else it hands each large one back, and the next costs page faults."""
    with suppress(OSError, AttributeError):  # another C library has no mallopt
        mallopt = CDLL(None).mallopt
        mallopt(-4, 0)  # M_MMAP_MAX: large blocks come from the heap, too
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD, bytes: and the heap does not shrink
        mallopt(-2, 64 * 2**20)  # M_TOP_PAD, bytes: it grows in large steps


def _has_bf16(device: str) -> bool:
    """Whether the device multiplies bf16 in hardware; elsewhere torch emulates it, slower than fp32."""
    if device == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
