"""Record the learning curves that efficiency.py replays: every point of every grid, trained to its last epoch.

python -m benchmarks.record --data-root data

All points of one learning rate train side by side, as one model whose weights have a leading axis: the same initial
weights, batches and updates as the project's trainer (tests/bench/test_benchmarks.py compares the two), at a fraction
of the time. Points whose learning rates were the same so far share a row of it, and part where a decay parts them; the
printed saving is what choosing `step_size` and `gamma` late would save of a grid. Writes the count of right images of
the validation split
after each epoch into curves.npz, -1 from where a run diverged.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.problems import CURVES, PROBLEMS, Point, Problem
from search.config import TrainConfig
from search.models import build
from search.models.efficientnet_lite import LITE
from search.models.mlp import mlp
from search.train.batches import load_data

Split = tuple[Tensor, Tensor]
"""Inputs (N, D) float32 and labels (N,)."""


def inputs(problem: Problem, data_root: Path) -> list[Split]:
    """What the heads of `problem` see, training and validation: pooled features of the frozen Lite0, or pixels."""
    model = LITE if problem.features else str(problem.fixed["model"])
    net = build(LITE, 101, weights="DEFAULT").eval() if problem.features else nn.Flatten()
    if problem.features:
        net.classifier = nn.Identity()
    splits = []
    for data in load_data(model, problem.fixed["dataset"], data_root, "cpu", ("train", "val")):
        with torch.no_grad():
            parts = [net(data.batch(index, torch.contiguous_format)[0]) for index in torch.arange(len(data)).split(16)]
        splits.append((torch.cat(parts), data.labels))
    return splits


class Stack:
    """Rows of heads in training, each with its momentum: one layer's weights are (rows, in, out)."""

    def __init__(self, config: TrainConfig, width: int, classes: int, rows: int) -> None:
        torch.manual_seed(config.seed)
        layers = [layer for layer in mlp(classes, width, config.hidden).children() if isinstance(layer, nn.Linear)]
        first = [tensor for layer in layers for tensor in (layer.weight.detach().T, layer.bias.detach()[None])]
        self.parameters = [tensor.expand(rows, -1, -1).clone() for tensor in first]
        self.velocities = [torch.zeros_like(tensor) for tensor in self.parameters]

    def take(self, rows: Tensor) -> None:
        """Go on with these rows (n,), some of them more than once."""
        self.parameters = [tensor[rows] for tensor in self.parameters]
        self.velocities = [tensor[rows] for tensor in self.velocities]

    def losses(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Each row's mean cross-entropy (rows,) and predictions (rows, B)."""
        h = x.expand(len(self.parameters[0]), -1, -1)
        for layer in range(0, len(self.parameters), 2):
            h = torch.baddbmm(self.parameters[layer + 1], F.relu(h) if layer else h, self.parameters[layer])
        each = F.cross_entropy(h.flatten(0, 1), y.repeat(len(h)), reduction="none")
        return each.view(len(h), -1).mean(1), h.argmax(2)

    def step(self, x: Tensor, y: Tensor, lr: Tensor, momentum: Tensor, weight_decay: Tensor) -> Tensor:
        """One step of SGD, each row with its own lr, momentum and weight decay (rows, 1, 1); its losses (rows,)."""
        for tensor in self.parameters:
            tensor.requires_grad_()
        losses, _ = self.losses(x, y)
        gradients = torch.autograd.grad(losses.sum(), self.parameters)
        with torch.no_grad():
            for parameter, velocity, gradient in zip(self.parameters, self.velocities, gradients, strict=True):
                velocity.mul_(momentum).add_(gradient).addcmul_(weight_decay, parameter)
                parameter.addcmul_(lr, velocity, value=-1)
                parameter.requires_grad_(False)
        return losses.detach()


def train_together(
    configs: Sequence[TrainConfig], splits: Sequence[Split], classes: int
) -> tuple[NDArray[np.int16], int]:
    """Right validation images of each config after each epoch, (configs, epochs); and how many epochs were trained.

    The configs differ in lr, momentum, weight_decay, step_size and gamma only, and have the step schedule.
    """
    (x, y), (x_val, y_val) = splits
    first = configs[0]
    right = np.full((len(configs), first.epochs), -1, np.int16)
    order = torch.Generator().manual_seed(first.seed)
    stack, row_of, trained = Stack(first, x.shape[1], classes, 1), [0] * len(configs), 0
    rates = np.array(
        [[c.lr * float(c.gamma or 1) ** (e // (c.step_size or 1)) for e in range(c.epochs)] for c in configs]
    )
    alive = np.ones(len(configs), bool)
    for epoch in range(first.epochs):
        keys = [(c.momentum, c.weight_decay, *rates[i, : epoch + 1]) for i, c in enumerate(configs)]
        members = {key: i for i, key in enumerate(keys)}  # one config of each row
        chosen = list(members.values())
        stack.take(torch.tensor([row_of[i] for i in chosen]))
        place = {key: row for row, key in enumerate(members)}
        row_of = [place[key] for key in keys]
        trained += len(chosen)
        columns = [[configs[i].momentum for i in chosen], [configs[i].weight_decay for i in chosen]]
        knobs = [
            torch.tensor(column, dtype=torch.float32).view(-1, 1, 1)
            for column in [list(rates[chosen, epoch]), *columns]
        ]
        finite = torch.ones(len(chosen), dtype=torch.bool)
        for index in torch.randperm(len(y), generator=order).split(first.batch_size):
            finite &= stack.step(x[index], y[index], *knobs).isfinite()
        with torch.no_grad():
            losses, found = stack.losses(x_val, y_val)
        alive &= (finite & losses.isfinite()).numpy()[row_of]
        right[:, epoch] = np.where(alive, (found == y_val).sum(1).numpy()[row_of], -1)
    return right, trained


def record(problem: Problem, splits: Sequence[Split]) -> NDArray[np.int16]:
    """The count of right images of every point after every epoch, over its seeds, (*grid, epochs)."""
    blocks, trained = [], 0
    for lr in range(len(problem.grid["lr"])):  # a block of rows stays small
        points: list[Point] = [point for point in problem.points() if point[0] == lr]
        runs = []
        for seed in range(problem.seeds):
            configs = [TrainConfig(**problem.settings(point), seed=seed) for point in points]
            right, epochs = train_together(configs, splits, problem.classes)
            runs.append(right)
            trained += epochs
        right = np.where(np.min(runs, axis=0) < 0, -1, np.sum(runs, axis=0)).astype(np.int16)
        blocks.append(right)
        print(f"{problem.name}: lr {lr + 1} of {len(problem.grid['lr'])}, best {right[:, -1].max()}", flush=True)
    whole = np.concatenate(blocks)
    asked = whole.size * problem.seeds
    print(f"{problem.name}: {trained} epochs trained for {asked}, a saving of {asked / trained:.2f} x")
    return whole.reshape(*problem.shape, problem.epochs)


def principal(splits: Sequence[Split], components: int) -> list[Split]:
    """The features of every split on the first `components` principal axes of the first split's."""
    (x, _), *_ = splits
    mean = x.mean(0)
    axes = torch.linalg.svd(x - mean, full_matrices=False).Vh[:components].T
    return [((x - mean) @ axes, y) for x, y in splits]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--features", type=Path, default=Path("features.pt"), help="made if missing, then kept")
    parser.add_argument("--only", choices=[problem.name for problem in PROBLEMS])
    arguments = parser.parse_args()
    stored = dict(np.load(CURVES)) if CURVES.is_file() else {}
    for problem in PROBLEMS:
        if arguments.only not in (None, problem.name):
            continue
        if problem.features and arguments.features.is_file():
            splits: list[Split] = torch.load(arguments.features)
        else:
            splits = inputs(problem, arguments.data_root)
            if problem.features:
                torch.save(splits, arguments.features)
        if problem.features:
            splits = principal(splits, problem.features)
        stored[problem.name] = record(problem, splits)
        stored[f"{problem.name}_images"] = np.array(len(splits[1][1]) * problem.seeds)
        np.savez_compressed(CURVES, **stored)


if __name__ == "__main__":
    main()
