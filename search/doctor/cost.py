"""What a trial takes: memory, the time of a step, and how much of that is loading. Measured in a process of its own.

As a program, ``python -m search.doctor.cost``: a job as JSON in, a measurement as JSON out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from search.config import TrainConfig
from search.data.augment import make_augment
from search.doctor.case import Case, Finding
from search.doctor.device_memory import GIB, held_here, peak, taken_by_others
from search.engine.base import share as gpu_share
from search.entry_points import COST_PROGRAM
from search.errors import option
from search.format import plural
from search.train.batches import EVAL_BATCH, Data, load_splits
from search.train.device import resolve_runtime
from search.train.learner import Learner

SECONDS = 8.0
"""For the steps after the first."""
PATIENCE = 90.0
"""Seconds, for all of it."""


def check(case: Case, batch_size: int) -> list[Finding]:
    """Speed and memory of one trial with `batch_size`, the space's largest.

    In a fresh process, whose peak is a trial's and not the doctor's, and whose death by lack of memory is a finding.
    """
    config = case.config.model_copy(update={"batch_size": batch_size})
    job: dict[str, Any] = {"config": config.model_dump_json(), "root": str(case.root), "device": case.runtime.device}
    job["parent"] = held_here(case.runtime.device)
    command = [sys.executable, "-m", COST_PROGRAM]
    try:
        done = subprocess.run(
            command, input=json.dumps(job), capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        seen = f"a step of {plural(batch_size, 'image')} was not done after {PATIENCE:.0f} s"
        return [Finding("warn", "memory", seen, "not measured; try a smaller batch_size or a faster device")]
    if done.returncode:
        said = (done.stderr.strip() or "no message").splitlines()[-1]
        why = "it was killed, as where memory runs out" if done.returncode < 0 else said
        remedy = "a smaller batch_size, or a device with more memory"
        return [Finding("FAIL", "memory", f"a step of {plural(batch_size, 'image')} failed: {why}", remedy)]
    measured = json.loads(done.stdout.splitlines()[-1])
    return [speed(config, measured), memory(config, measured, os.cpu_count() or 1)]


def speed(config: TrainConfig, measured: dict[str, Any]) -> Finding:
    """The loader's speed against that of the whole step; the loader and the training take turns in one process."""
    step, load, images = measured["step"], measured["load"], measured["images"]
    rest = max(step - load, 1e-9)
    epoch = measured["split"] / images * step
    seen = (
        f"a step of {plural(images, 'image')} takes {step:.3g} s, "
        f"{load / step:.0%} of it loading ({images / load:.0f} images/s "
        f"against {images / rest:.0f} trained); an epoch about {epoch:.3g} s, a trial {epoch * config.epochs:.3g} s"
    )
    if config.frozen:
        seen += ", less where the frozen layers are computed once"
    if load > rest:
        what = (
            f"augment={config.augment!r} is dear" if config.augment != "none" else "put the image cache on a fast disk"
        )
        return Finding(
            "warn", "speed", seen, f"the loader is slower than the training: {what}, or use a GPU trial less"
        )
    return Finding("ok", "speed", seen)


def memory(config: TrainConfig, measured: dict[str, Any], cores: int) -> Finding:
    """The peak of one trial against what the device has free."""
    peak, free = measured["peak"], measured["free"]
    fit = int(free // peak)
    where = "the GPU" if measured["device"] == "cuda" else "this machine"
    takes = f"{peak / GIB:.2f} GiB a trial of batch_size={config.batch_size}"
    seen = f"{takes}, {free / GIB:.1f} GiB free: {fit} fit on {where}"
    if not fit:
        return Finding("FAIL", "memory", seen, "a smaller batch_size, or a device with more memory")
    if measured["device"] == "cpu" and fit < cores:
        more = -(-cores // fit)
        remedy = f"{cores} cores would run {cores} at a time: {option('cpus_per_trial', more)}"
        return Finding("warn", "memory", seen, remedy)
    if measured["device"] == "cuda" and fit > 1:
        share = option("gpus_per_trial", f"{gpu_share(fit):g}")
        seen += f" ({share} runs them side by side)"
    return Finding("ok", "memory", seen)


def measure(config: TrainConfig, root: Path, device: str, parent: int | None = None) -> dict[str, Any]:
    """Train a few steps and evaluate one batch in this process; seconds, bytes and counts.

    `parent`: bytes that the doctor holds on the GPU meanwhile, None for nothing.
    """
    taken = taken_by_others() if device == "cuda" else 0
    runtime = resolve_runtime(config.precision, device)
    train, val = load_splits(config, root, device, "train", "val")
    learner = Learner(config, train, runtime)
    learner.begin(1)
    batches = full_batches(config, len(train))
    begin = now(device)
    learner.step(batches[0])  # which allocates
    step = now(device) - begin
    begin = now(device)
    for number in range(1, 21 if step < SECONDS else 1):
        learner.step(batches[number % len(batches)])
        step = (now(device) - begin) / number
        if step * (number + 1) > SECONDS:
            break
    load = _loading(config, train, batches, learner)
    learner.result.eval()
    with torch.no_grad(), runtime.autocast():
        learner.result(val.batch(torch.arange(min(EVAL_BATCH[runtime.device], len(val))), runtime.memory_format)[0])
    held, free = peak(device, taken, parent)
    counts = {"images": len(batches[0]), "split": len(train), "device": device}
    return {"step": step, "load": load, "peak": held, "free": free, **counts}


def full_batches(config: TrainConfig, count: int) -> list[torch.Tensor]:
    """The batches of an epoch of `count` images, as their indices, without a smaller last one."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(config.seed))
    return [batch for batch in order.split(config.batch_size) if len(batch) == min(config.batch_size, count)]


def now(device: str) -> float:
    """Seconds on the clock, once the device has done all it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _loading(config: TrainConfig, data: Data, batches: list[torch.Tensor], learner: Learner) -> float:
    """Seconds that it takes to make one batch, augmented."""
    noise = torch.Generator().manual_seed(config.seed)
    augment = make_augment(config.augment, noise)
    begin = now(data.device)
    for number in range(3):
        data.batch(batches[number % len(batches)], learner.runtime.memory_format, augment)
    return (now(data.device) - begin) / 3


if __name__ == "__main__":
    job = json.loads(sys.stdin.read())
    made = TrainConfig.model_validate_json(job["config"], strict=False)
    print(json.dumps(measure(made, Path(job["root"]), job["device"], job["parent"])))
