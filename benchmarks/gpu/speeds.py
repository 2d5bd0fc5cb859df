"""Steps and epochs of the trainer on this device, beside what the device can do.

python -m benchmarks.gpu.speeds ROOT DEVICE OUT [SECONDS]      a line of JSON a finding; the kernels in OUT/profile.txt
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.profiled import profiled, timed, wait, waits
from search.config import make_config
from search.train import trainer
from search.train.batches import load_splits
from search.train.device import make_repeatable, resolve_runtime
from search.train.evaluate import evaluate
from search.train.learner import Learner

BASE = dict(dataset="caltech101", epochs=1000, lr=0.01, momentum=0.9, weight_decay=5e-5, step_size=15, gamma=0.1)
TUNED: dict[str, dict[str, Any]] = {
    "alexnet bf16 256": dict(model="alexnet", precision="bf16"),
    "alexnet fp32 256": dict(model="alexnet", precision="fp32"),
    "alexnet fp16 256": dict(model="alexnet", precision="fp16"),
    "resnet50 bf16 256": dict(model="resnet50", precision="bf16"),
    "vit_b_16 bf16 256": dict(model="vit_b_16", precision="bf16"),
    "alexnet bf16 256 crop_flip": dict(model="alexnet", precision="bf16", augment="crop_flip"),
    "alexnet bf16 256 mixup": dict(model="alexnet", precision="bf16", mixup=0.2, cutmix=1.0),
    "alexnet bf16 256 randaugment": dict(model="alexnet", precision="bf16", augment="randaugment"),
    "efficientnet_lite0 bf16 256": dict(model="efficientnet_lite0", precision="bf16"),
}
CACHED: dict[str, dict[str, Any]] = {
    "alexnet classifier bf16 256": dict(model="alexnet", precision="bf16", batch_size=256, frozen=("features",)),
    "lite0 head auto 64": dict(model="efficientnet_lite0", batch_size=64, frozen=("features",)),
    "lite0 head auto 64 flip": dict(model="efficientnet_lite0", batch_size=64, frozen=("features",), augment="flip"),
    "cnn digits fp32 32": dict(model="cnn", dataset="digits", precision="fp32", batch_size=32),
}
TINY = dict(model="cnn", dataset="digits", batch_size=8, subset=101, precision="fp32")
"""Where there is no GPU, to try every option."""


@dataclass(frozen=True)
class Place:
    """Where it is measured, and where the profiles go."""

    root: Path
    device: str
    out: Path

    @property
    def gpu(self) -> bool:
        return self.device == "cuda"

    def say(self, **found: object) -> None:
        print(json.dumps(found), flush=True)

    def settings(self, case: dict[str, Any]) -> dict[str, Any]:
        frozen = {"frozen": ("0",)} if "frozen" in case else {}
        return {**BASE, "batch_size": 256, **case} if self.gpu else {**BASE, **case, **TINY, **frozen}


def ceilings(place: Place) -> None:
    """What the device can do: matrix products, copies, launches of kernels, transfers from the host."""
    device = place.device
    side, big, host = (8192, 2**30, 2**26) if place.gpu else (256, 2**22, 2**20)
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    x = torch.randint(255, (big,), dtype=torch.uint8, device=device)
    y = torch.empty_like(x)
    small = torch.zeros(1, device=device)
    pinned = torch.empty(host, dtype=torch.uint8, pin_memory=place.gpu)
    loose = torch.empty(host, dtype=torch.uint8)
    there = torch.empty(host, dtype=torch.uint8, device=device)
    for work in (lambda: a @ b, lambda: y.copy_(x), lambda: there.copy_(pinned)):
        timed(1, work, device)
    place.say(
        what="ceilings",
        name="ceilings",
        bf16_tflops=2 * side**3 / timed(20, lambda: a @ b, device) / 1e12,
        copy_gbs=2 * big / timed(20, lambda: y.copy_(x), device) / 1e9,
        launch_us=timed(2000, lambda: small.add_(1), device) * 1e6,
        h2d_pinned_gbs=host / timed(5, lambda: there.copy_(pinned, non_blocking=True), device) / 1e9,
        h2d_pageable_gbs=host / timed(5, lambda: there.copy_(loose), device) / 1e9,
    )


def tuned(place: Place, name: str, case: dict[str, Any]) -> None:
    """Steps of a whole model, each of a full batch."""
    config = make_config(place.settings(case))
    runtime = resolve_runtime(config.precision, place.device)
    begin = wait(place.device)
    (data,) = load_splits(config, place.root, runtime.device, "train")
    loaded = wait(place.device) - begin
    learner = Learner(config, data, runtime)
    if place.gpu:
        make_repeatable(learner.model, runtime, learner.image(), None)
        torch.cuda.reset_peak_memory_stats()
    learner.begin(1)
    batches = full(learner)
    with FlopCounterMode(display=False) as counts:
        learner.step(batches[0])
    for number in range(3 if place.gpu else 1):
        learner.step(batches[number % len(batches)])
    one = timed(1, lambda: learner.step(batches[0]), place.device)
    rounds = max(2, min(60, int(0.8 / one))) if place.gpu else 1
    turn = iter(range(10**9))
    step = timed(rounds, lambda: learner.step(batches[next(turn) % len(batches)]), place.device)
    loading = timed(rounds, lambda: data.batch(batches[0], runtime.memory_format, learner._augment), place.device)
    flops = counts.get_total_flops()
    found: dict[str, Any] = {"ms": step * 1e3, "images_s": config.batch_size / step, "load_ms": loading * 1e3}
    found |= {"tflop": flops / 1e12, "tflops": flops / step / 1e12, "data_to_device_s": round(loaded, 2)}
    found["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9 if place.gpu else None
    found["syncs"] = waits(learner, batches) if place.gpu else []
    place.say(what="step", name=name, **found, **profiled(name, learner, batches, step, place.out, place.gpu))


def cached(place: Place, name: str, case: dict[str, Any]) -> None:
    """Whole epochs of what is not frozen, on the activations of what is."""
    said: list[str] = []
    config = make_config(place.settings(case))
    runtime = resolve_runtime(config.precision, place.device)
    begin = wait(place.device)
    learner, val = trainer.new_learner(config, place.root, runtime, 20 * 2**30, said.append)
    made = wait(place.device) - begin
    trainer._epoch(learner, val, 1)
    epochs = []
    for number in range(2, 7 if place.gpu else 3):
        begin = wait(place.device)
        trainer._epoch(learner, val, number)
        epochs.append(wait(place.device) - begin)
    judged = timed(1, lambda: evaluate(learner.judged, val, runtime), place.device)
    steps, batches = math.ceil(len(learner.data) / config.batch_size), full(learner)
    learner.begin(1)
    turn = iter(range(10**9))
    rounds = min(100, 20 * steps) if place.gpu else 2
    step = timed(rounds, lambda: learner.step(batches[next(turn) % len(batches)]), place.device)
    found: dict[str, Any] = {"first_s": round(made, 2), "epoch_ms": statistics.median(epochs) * 1e3, "steps": steps}
    found |= {"step_ms": step * 1e3, "evaluate_ms": judged * 1e3, "said": said}
    found["syncs"] = waits(learner, batches) if place.gpu else []
    place.say(what="epoch", name=name, **found, **profiled(name, learner, batches, step, place.out, place.gpu))


def full(learner: Learner) -> list[torch.Tensor]:
    """The full batches of an epoch, on the device."""
    order = torch.randperm(len(learner.data)).to(learner.runtime.device)
    return [batch for batch in order.split(learner.config.batch_size) if len(batch) == learner.config.batch_size]


def main() -> None:
    place = Place(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
    deadline = time.monotonic() + (float(sys.argv[4]) if len(sys.argv) > 4 else 1e9)
    works: list[tuple[str, Callable[..., None], tuple[object, ...]]] = [("ceilings", ceilings, ())]
    works += [(name, cached, (name, case)) for name, case in CACHED.items()]
    works += [(name, tuned, (name, case)) for name, case in TUNED.items()]
    for name, work, words in works:
        if time.monotonic() > deadline:
            place.say(what="skipped", name=name)
            continue
        try:
            work(place, *words)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"[:500]
            place.say(what="error", name=name, error=said, at=traceback.format_exc()[-700:])
        trainer._spare.clear()
        if place.gpu:
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
