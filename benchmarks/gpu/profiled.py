"""Seconds, kernels and waits of a training step."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from search.train.learner import Learner

STEPS = 5


def wait(device: str) -> float:
    """Seconds on the clock, once the device has done all it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def timed(count: int, work: Callable[[], object], device: str) -> float:
    """Seconds of one call: the median of three rounds of `count`."""
    rounds = []
    for _ in range(3):
        begin = wait(device)
        for _ in range(count):
            work()
        rounds.append((wait(device) - begin) / count)
    return statistics.median(rounds)


def profiled(
    name: str, learner: Learner, batches: list[torch.Tensor], step: float, out: Path, gpu: bool
) -> dict[str, Any]:
    """What the device does in a step of so many seconds: busy milliseconds, idle share, kernels; the longest ones.

    Adds the kernels to profile.txt in `out`. On a CPU the operators stand in for kernels.
    """
    with profile(activities=[ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU], acc_events=True) as seen:
        for number in range(STEPS):
            learner.step(batches[number % len(batches)])
        wait("cuda" if gpu else "cpu")
    events: list[Any] = [event for event in seen.key_averages() if not gpu or event.device_type.name == "CUDA"]

    def cost(event: Any) -> float:
        return float(event.self_device_time_total if gpu else event.self_cpu_time_total)

    busy = sum(map(cost, events)) / STEPS / 1e6
    top = sorted(events, key=cost, reverse=True)[:12]
    with (out / "profile.txt").open("a") as file:
        file.write(f"== {name}: a step {step * 1e3:.3f} ms, busy {busy * 1e3:.3f} ms\n")
        file.writelines(f"{cost(e) / STEPS:10.1f} us {e.count / STEPS:7.1f} x {e.key[:130]}\n" for e in top)
    kernels = sum(event.count for event in events) / STEPS
    longest = [[event.key[:50], round(cost(event) / STEPS)] for event in top[:3]]
    return {"busy_ms": busy * 1e3, "idle": 1 - busy / step, "kernels": kernels, "top": longest}


def waits(learner: Learner, batches: list[torch.Tensor]) -> list[str]:
    """The places where a step waits for the GPU, and how often."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            for number in range(2):
                learner.step(batches[number % len(batches)])
        finally:
            torch.cuda.set_sync_debug_mode("default")
    places = [f"{Path(each.filename).name}:{each.lineno}" for each in seen if "synchroniz" in str(each.message)]
    return [f"{place} x{places.count(place) / 2:g}" for place in sorted(set(places))]
