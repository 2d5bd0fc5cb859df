"""What a model in training takes: parameters, bytes, memory, and the time of one image."""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor, nn

from search.config import TrainConfig
from search.train.device import Runtime, same_draws
from search.train.freeze import within

MOST_PASSES, SECONDS = 9, 0.1
"""The timed passes of one measurement: so many, or, of a slow model, as many as fit in that time, but at least 3."""

_latencies: dict[tuple[object, ...], float | None] = {}
"""Of each kind of model that this process has trained: the passes are for once, and a trial may take half a second."""


def footprint(model: nn.Module, config: TrainConfig, runtime: Runtime, image: Tensor) -> dict[str, float | None]:
    """What a trial of `config` takes, as its first epoch has shown it.

    `parameters` and, of these, `trainable`, which gradual unfreezing does not lower; `megabytes` (1e6 bytes) of the
    weights; `latency_ms`, milliseconds for `image` (1, C, H, W) through the whole model in `eval()`, in the runtime's
    precision and threads, None if the model does not take one image alone; on CUDA `peak_memory`, the most bytes of
    tensors at a time in training and validation, the data set included. On a CPU that is left out: the process
    keeps what earlier trials freed, so its peak is not this trial's. Leaves `model` in `eval()`.
    """
    sizes = [(value.numel(), within(name, config.frozen)) for name, value in model.named_parameters()]
    held = sum(value.numel() * value.element_size() for value in (*model.parameters(), *model.buffers()))
    found: dict[str, float | None] = {
        "parameters": sum(size for size, _ in sizes),
        "trainable": sum(size for size, frozen in sizes if not frozen),
        "megabytes": held / 1e6,
    }
    if runtime.device == "cuda":
        found["peak_memory"] = torch.cuda.max_memory_allocated()
    key = (config.model, config.hidden, config.dataset, tuple(image.shape), runtime)
    if key not in _latencies:
        _latencies[key] = _latency(model, runtime, image)
    return found | {"latency_ms": _latencies[key]}


def forget_peak(runtime: Runtime) -> None:
    """Start counting `peak_memory` anew, and hand back what earlier trials have freed: others may share the GPU."""
    if runtime.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _latency(model: nn.Module, runtime: Runtime, image: Tensor) -> float | None:
    """Median milliseconds of a pass; draws no random number that a later epoch would miss."""
    model.eval()
    frozen = [value for value in model.parameters() if not value.requires_grad and value.is_floating_point()]
    times: list[float] = []
    try:
        for value in frozen:  # autocast keeps its copies of such weights only, and casts the others in every pass
            value.requires_grad_(True)
        with torch.no_grad(), same_draws(image.device), runtime.autocast():
            model(image)  # casts the weights, and builds what is built once
            start = _now(runtime)
            while len(times) < 3 or (len(times) < MOST_PASSES and _now(runtime) - start < SECONDS):
                begin = _now(runtime)
                model(image)
                times.append(_now(runtime) - begin)
    except Exception:  # the user's own model, which may want more than one image: no reason to fail the trial
        return None
    finally:
        for value in frozen:
            value.requires_grad_(False)
    return statistics.median(times) * 1e3


def _now(runtime: Runtime) -> float:
    if runtime.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
