"""What a model in training takes: parameters, bytes, memory, and the time of one image."""

from __future__ import annotations

import statistics
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from search.config import TrainConfig
from search.data.inputs import inputs
from search.data.registry import opened
from search.errors import SearchError
from search.models import build
from search.train.device import Runtime, resolve_runtime, same_draws
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
    found: dict[str, float | None] = {
        "parameters": sum(size for size, _ in sizes),
        "trainable": sum(size for size, frozen in sizes if not frozen),
        "megabytes": megabytes(model),
    }
    if runtime.device == "cuda":
        found["peak_memory"] = torch.cuda.max_memory_allocated()
    key = (config.model, config.hidden, config.dataset, tuple(image.shape), runtime)
    if key not in _latencies:
        _latencies[key] = _latency(model, runtime, image)
    return found | {"latency_ms": _latencies[key]}


def megabytes(model: nn.Module) -> float:
    """What the weights and buffers of the model take, in 1e6 bytes."""
    return sum(value.numel() * value.element_size() for value in (*model.parameters(), *model.buffers())) / 1e6


TRIES = 3
"""Latencies of which the least counts, where it is an objective or a limit: other work only ever adds to it."""


def size_of(config: TrainConfig, data_root: Path, costs: Collection[str]) -> dict[str, float]:
    """What the untrained model of `config` takes, by the names of `config.COSTS` that `costs` has.

    `mb`: 1e6 bytes of its weights; `latency_ms`: milliseconds of one image, on the GPU if there is one, else of one
    CPU core's own time, in the precision of the config. Raises SearchError for what is not there or takes no image
    alone.
    """
    source = opened(config.dataset, data_root)
    spec = inputs(config.model, source, config.image_side, config.weights)
    task = (len(source.splits()[0]), len(spec.channels), None, spec.crop, config.hidden)
    with torch.random.fork_rng(devices=[]):
        model = None
        if "latency_ms" not in costs:
            with suppress(Exception), torch.device("meta"):  # which has sizes alone, and takes no time
                model = build(config.model, *task)
        if model is None:
            model = build(config.model, *task)
        found = {"mb": round(megabytes(model), 3)}
        if "latency_ms" in costs:
            image = torch.zeros(1, len(spec.channels), *spec.crop)
            found["latency_ms"] = round(_least_latency(model, config, image), 3)
    return {name: found[name] for name in costs}


def _least_latency(model: nn.Module, config: TrainConfig, image: Tensor) -> float:
    before = torch.get_num_threads()
    try:
        runtime = resolve_runtime(config.precision, threads=1)
        model = model.to(runtime.device).to(memory_format=runtime.memory_format)
        image = image.to(runtime.device).to(memory_format=runtime.memory_format)
        times = [_latency(model, runtime, image) for _ in range(TRIES)]
    finally:
        torch.set_num_threads(before)
    if None in times:
        raise SearchError(f"{config.model} takes no image alone, so that its latency_ms cannot be measured")
    return min(time for time in times if time is not None)


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
    """Seconds on a clock; where one CPU thread computes, its own, which stands still while other work has the core."""
    if runtime.device == "cuda":
        torch.cuda.synchronize()
    return time.thread_time() if (runtime.device, runtime.threads) == ("cpu", 1) else time.perf_counter()
