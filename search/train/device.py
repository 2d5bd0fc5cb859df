"""Where a config runs, and with what arithmetic."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from ctypes import CDLL
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from search.errors import SearchError, first_line


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


def same_draws(device: torch.device) -> AbstractContextManager[None]:
    """Within, what is drawn on the CPU and on `device` is not missed by what is drawn later. Touches no other GPU."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


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
        precision = "bf16" if _gains_by_bf16(device) else "fp32"
    if precision == "fp16" and device == "cpu":
        raise SearchError("precision='fp16' is for a CUDA device, and this is a CPU; bf16 and fp32 run on both")
    if threads is not None and not 1 <= threads <= 4096:
        raise SearchError(f"threads={threads}: a number from 1 to 4096")
    if threads is not None and threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    _keep_memory()
    if device == "cuda":
        _prepare_gpu()
    torch.backends.cudnn.deterministic = True  # same config and seed, same numbers
    torch.backends.cudnn.benchmark = False
    return Runtime(device, precision, torch.get_num_threads())


def _prepare_gpu() -> None:
    """Set what cuBLAS and cuDNN read once: a workspace that repeats its sums, and fp32 products that are fp32.

    cuDNN otherwise rounds the inputs of fp32 convolutions to TF32, which has 10 bits of mantissa.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


@lru_cache(maxsize=1)
def _keep_memory() -> None:
    """Have glibc keep what tensors free: else it hands each large one back, and the next costs page faults."""
    with suppress(OSError, AttributeError):  # another C library has no mallopt
        mallopt = CDLL(None).mallopt
        mallopt(-4, 0)  # M_MMAP_MAX: large blocks come from the heap, too
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD, bytes: and the heap does not shrink
        mallopt(-2, 64 * 2**20)  # M_TOP_PAD, bytes: it grows in large steps


def _gains_by_bf16(device: str) -> bool:
    """Whether the device multiplies bf16 in hardware, and faster than fp32; elsewhere torch emulates it.

    Intel's AVX512_BF16 multiplies no faster than its fp32, and conversions come on top: 1.3 to 1.8 times the time of
    fp32 (benchmarks/RESULTS.md). AMX is made for bf16; how fast it is has not been measured here.
    """
    if device == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    capabilities = torch.cpu.get_capabilities()
    intel = str(capabilities.get("cpu_name", "")).startswith("Intel")
    return bool(capabilities.get("amx_bf16") or (capabilities.get("avx512_bf16") and not intel))


_ATTENTION = (
    torch.nn.functional.scaled_dot_product_attention,
    torch.nn.functional.multi_head_attention_forward,
)


class _Calls(TorchFunctionMode):
    """Sees whether attention is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.attention = self.attention or func in _ATTENTION
        return func(*args, **(kwargs or {}))


def attends(model: nn.Module, image: Tensor) -> bool:
    """Whether `model` computes attention for `image` (1, C, H, W). Leaves the model in `eval()`."""
    model.eval()
    with torch.no_grad(), same_draws(image.device), _Calls() as calls:
        model(image)
    return bool(calls.attention)


def make_repeatable(model: nn.Module, runtime: Runtime, image: Tensor, say: Callable[[str], None] | None) -> None:
    """Have torch take only repeatable forms of what `model` computes, if it has attention and they exist.

    The backward passes of flash and cuDNN attention are repeatable only where torch is told to be strict. Strictness
    makes other layers raise that repeat in practice, such as the adaptive pooling of AlexNet: without attention it is
    off. `image`: (1, C, H, W). Leaves `model` in `eval()`, without gradients.
    """
    torch.use_deterministic_algorithms(False)
    if not attends(model, image):
        return
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # it costs time, and nothing here reads such memory
    try:
        with same_draws(image.device), runtime.autocast():
            model(image).float().sum().backward()
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        torch.use_deterministic_algorithms(False)
        if say is not None:
            say(f"two trainings with one seed may differ on this GPU: {first_line(error)}")
    finally:
        model.zero_grad(set_to_none=True)
