"""How many trials share a GPU, from steps that are measured on it: ``--gpus-per-trial auto``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from search.config import CACHE_SIZE, TrainConfig, make_config
from search.doctor.cost import full_batches, now
from search.doctor.device_memory import GIB, peak, taken_by_others
from search.engine.failures import reason
from search.errors import SearchError, option
from search.format import plural
from search.space.file import SpaceFile, load_space
from search.space.points import Point, at, neighbours
from search.space.space import SearchSpace
from search.train.batches import EVAL_BATCH
from search.train.device import resolve_runtime
from search.train.trainer import new_learner

HEAVY = (
    "model",
    "dataset",
    "hidden",
    "image_side",
    "subset",
    "frozen",
    "gradual_unfreeze",
    "optimizer",
    "precision",
    "augment",
    "cached_views",
)
SWITCHES = ("mixup", "cutmix", "ema")
"""With HEAVY, the settings that decide what a step costs; of these, whether they are on."""
SPARE = 0.1
"""Of the GPU's memory: an allocator's blocks break up over a trial, and a space has more points than are measured."""
FULL = 0.9
"""Of the throughput that the GPU's time allows: the last trial that shares it must be worth its memory and its core."""
SECONDS = 1.0
"""For the steps of one point, after the first."""


@dataclass(frozen=True)
class Measured:
    """What one trial takes of its device.

    `peak`: the most bytes it held, CUDA's context included; `total`: those that other programs leave.
    `step`: seconds of a training step of `images`; `busy`: those in which the device computed, or None where they could
    not be measured.
    """

    peak: int
    total: int
    step: float
    busy: float | None
    images: int

    def __str__(self) -> str:
        busy = "how long the GPU computes could not be measured"
        if self.busy is not None:
            busy = f"the GPU computes for {self.busy * 1e3:.3g} ms of it"
        memory = f"a trial holds {self.peak / GIB:.3g} of {self.total / GIB:.3g} GiB"
        return f"a step of {plural(self.images, 'image')} takes {self.step * 1e3:.3g} ms, {busy}; {memory}"


def limits(measured: Measured, cpus_a_gpu: float, cpus: float = 1.0) -> dict[str, int]:
    """How many trials side by side each of a GPU's memory, its share of the CPUs and its own idle time is enough for.

    `cpus`: those of a trial. Processes take turns on a GPU, so n trials are at most min(n, step / busy) times as fast
    as one: the last figure is the smallest n with at least FULL of all that there is to gain.
    """
    busy = measured.busy or measured.step
    return {
        "memory": int(measured.total * (1 - SPARE) // measured.peak),
        "CPUs": int(cpus_a_gpu // cpus),
        "idle time": math.ceil(FULL * max(measured.step / busy, 1.0)),
    }


def trials_a_gpu(measured: Measured, cpus_a_gpu: float, cpus: float = 1.0) -> int:
    """The smallest of the `limits`, but at least 1."""
    return max(1, min(limits(measured, cpus_a_gpu, cpus).values()))


def choose(
    path: str | SearchSpace,
    overrides: Sequence[str],
    data_root: Path,
    cache_size: int,
    cpus_a_gpu: float,
    cpus: float,
    progress: Callable[[str, int, int], None],
) -> tuple[int, str]:
    """How many trials of the space file at `path` a GPU takes, and a line that says why.

    Measures on this machine's first GPU, and takes the others to be like it. What cannot be measured has it alone.
    """
    try:
        device = resolve_runtime("fp32").device
        measured = measure(points(load_space(path, overrides)), data_root, device, cache_size, progress)
    except Exception as error:  # most of all, no memory for even one
        return 1, f"{option('gpus_per_trial', 'auto')}: one trial a GPU, for the measurement failed: {reason(error)}"
    count = trials_a_gpu(measured, cpus_a_gpu, cpus)
    enough = ", ".join(f"{what} for {n}" for what, n in limits(measured, cpus_a_gpu, cpus).items())
    return count, f"{option('gpus_per_trial', 'auto')}: {count} on a GPU, which has {enough}: {measured}"


def points(space: SpaceFile) -> list[TrainConfig]:
    """The middle of `space`, and its neighbours that differ in what a step costs, all with its largest batch size.

    Raises SearchError if none of them is a config.
    """
    middle = at(space, {})
    found: list[TrainConfig] = []
    error: SearchError | None = None
    for point in (middle, *(point for _, _, point in neighbours(space, middle) if isinstance(point, Point))):
        try:
            found.append(make_config(point.settings))
        except SearchError as wrong:
            error = error or wrong
    if not found:
        assert error is not None
        raise error
    largest = max(config.batch_size for config in found)
    costs: dict[tuple[object, ...], TrainConfig] = {}
    for config in found:
        key = (*(getattr(config, name) for name in HEAVY), *(getattr(config, name) > 0 for name in SWITCHES))
        costs.setdefault(key, config.model_copy(update={"batch_size": largest}))
    return list(costs.values())


def measure(
    configs: Sequence[TrainConfig],
    root: Path,
    device: str,
    cache_size: int = CACHE_SIZE,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Measured:
    """Train a few steps of each config in this process, as a worker does one trial after another.

    The times are of the config that leaves the device idle least. `progress` is called with what is done, how many
    configs are, and of how many.
    """
    taken = taken_by_others() if device == "cuda" else 0
    seen = []
    for number, config in enumerate(configs):
        progress("measuring how many trials share a GPU", number, len(configs))
        seen.append(_step(config, root, device, cache_size))
    step, busy, images = max(seen, key=lambda found: (found[1] or found[0]) / found[0])
    held, total = peak(device, taken)
    return Measured(held, total, step, busy, images)


def _step(config: TrainConfig, root: Path, device: str, cache_size: int) -> tuple[float, float | None, int]:
    """Seconds of a step, those in which the device computed, and its images; then evaluates a batch, for its memory."""
    runtime = resolve_runtime(config.precision, device)
    endless = config.model_copy(update={"epochs": 10**6})  # no schedule ends, and every layer that will train does
    learner, val = new_learner(endless, root, runtime, cache_size)
    learner.begin(endless.epochs)
    batches = full_batches(config, len(learner.data))

    def run(count: int) -> float:
        begin = now(device)
        for number in range(count):
            learner.step(batches[number % len(batches)])
        return (now(device) - begin) / count  # at the end only: an epoch does not wait for its steps either

    run(3)  # which allocates
    step = run(max(5, min(100, int(SECONDS / run(1)))))
    activity = ProfilerActivity.CUDA if device == "cuda" else ProfilerActivity.CPU
    with profile(activities=[activity], acc_events=True) as profiled:
        run(5)
    if device == "cuda":
        events = [event for event in profiled.key_averages() if event.device_type.name == "CUDA"]
        busy = sum(event.self_device_time_total for event in events) / 5e6
    else:
        busy = sum(event.self_cpu_time_total for event in profiled.key_averages()) / 5e6
    with torch.no_grad(), runtime.autocast():
        learner.judged.eval()(val.batch(torch.arange(min(EVAL_BATCH[device], len(val))), runtime.memory_format)[0])
    return step, busy or None, len(batches[0])
