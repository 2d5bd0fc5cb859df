"""A training step in bf16 against fp32, on one core: python -m benchmarks.precisions

Says whether `precision="auto"` chooses the faster one on this processor.
"""

from __future__ import annotations

import time
from statistics import median

import torch
from torch import nn
from torch.nn import functional as F

from search.models.registry import build
from search.train.device import Runtime, resolve_runtime

MODELS = {
    "alexnet": (64, 224),
    "resnet18": (16, 160),
    "mobilenet_v3_small": (32, 160),
    "vit_b_32": (8, 224),
    "mlp": (128, 32),
}
"""Images in a batch, and their sides in pixels."""


def step(net: nn.Module, x: torch.Tensor, y: torch.Tensor, runtime: Runtime) -> float:
    """Seconds of one step, without the optimizer's."""
    began = time.perf_counter()
    net.zero_grad(set_to_none=True)
    with runtime.autocast():
        loss = F.cross_entropy(net(x), y)
    loss.backward()
    return time.perf_counter() - began


def main(steps: int = 7) -> None:
    print("| model | batch | side | ms a step in fp32 | in bf16 | bf16 / fp32 |")
    print("|---|--:|--:|--:|--:|--:|")
    for model, (batch, side) in MODELS.items():
        taken = {}
        for precision in ("fp32", "bf16"):
            runtime = resolve_runtime(precision, "cpu", 1)
            net = build(model, 10, side=side).to(memory_format=runtime.memory_format)
            x = torch.randn(batch, 3, side, side).contiguous(memory_format=runtime.memory_format)
            y = torch.randint(0, 10, (batch,))
            taken[precision] = 1000 * median([step(net, x, y, runtime) for _ in range(steps)][2:])
        fp32, bf16 = taken["fp32"], taken["bf16"]
        print(f"| {model} | {batch} | {side} | {fp32:,.1f} | {bf16:,.1f} | {bf16 / fp32:.2f} |", flush=True)
    print(f"\nauto is {resolve_runtime('auto', 'cpu', 1).precision} here")


if __name__ == "__main__":
    main()
