"""What the matrix products of AlexNet's classifier take by themselves: what an epoch of it cannot do without."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.nn import functional as F

from search.train.batches import EVAL_BATCH
from search.train.device import resolve_runtime

LAYERS = ((9216, 4096), (4096, 4096), (4096, 101))
"""Inputs and outputs of its linear layers, of which the first is where the frozen layers end."""


@torch.no_grad()
def epoch(images: int, batch: int) -> float:
    """Seconds of the products of one epoch on the CPU, `images` to train and as many to validate, all cores.

    In the trainer's precision there, from matrices that are in it already.
    """
    kind = torch.bfloat16 if resolve_runtime("auto", "cpu").precision == "bf16" else torch.float32
    weights = [torch.randn(outputs, inputs).to(kind) for inputs, outputs in LAYERS]

    def forward(rows: int) -> None:
        for weight in weights:
            F.linear(torch.ones(rows, weight.shape[1], dtype=kind), weight)

    def train() -> None:
        forward(batch)
        for number, weight in enumerate(weights):
            x, gradient = (torch.ones(batch, width, dtype=kind) for width in reversed(weight.shape))
            gradient.t() @ x
            if number:  # the activations of frozen layers need no gradient
                gradient @ weight

    held = EVAL_BATCH["cpu"]
    return images / batch * _seconds(train) + images / held * _seconds(lambda: forward(held))


def _seconds(work: Callable[[], None], times: int = 5) -> float:
    work()
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times
