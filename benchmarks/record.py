"""Record the learning curves that efficiency.py replays: every point of every grid, trained to its last epoch.

python -m benchmarks.record --data-root data

Writes the count of right validation images after each epoch into curves.npz, -1 from where a run diverged.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.problems import CURVES, PROBLEMS, Problem
from search.config import TrainConfig
from search.models import LITE, build, mlp
from search.train import train
from search.train.optim import Schedule, make_optimizer
from search.train.trainer import Diverged, load_data

Split = tuple[Tensor, Tensor]
"""Features (N, 1280) and labels (N,)."""


def pooled(data_root: Path) -> list[Split]:
    """The frozen Lite0's pooled features of Caltech-101, training and validation."""
    net = build(LITE, 101, weights="DEFAULT").eval()
    net.classifier = nn.Identity()
    splits = []
    for data in load_data(LITE, "caltech101", data_root, "cpu", ("train", "val")):
        with torch.inference_mode():
            parts = [net(data.batch(index, torch.contiguous_format)[0]) for index in torch.arange(len(data)).split(16)]
        splits.append((torch.cat(parts).clone(), data.labels))
    return splits


@lru_cache(maxsize=1)
def _features(file: str) -> list[Split]:
    loaded: list[Split] = torch.load(file)
    return loaded


def head_curve(config: TrainConfig, splits: list[Split]) -> list[float]:
    """Train the head `config` on features as the project's trainer does; validation accuracy of each epoch."""
    (x, y), (x_val, y_val) = splits
    torch.manual_seed(config.seed)
    head = mlp(101, x.shape[1], config.hidden)
    optimizer = make_optimizer(head, config)
    schedule = Schedule(optimizer, config, -(-len(y) // config.batch_size))
    order = torch.Generator().manual_seed(config.seed)
    accuracies = []
    for _ in range(config.epochs):
        head.train()
        for index in torch.randperm(len(y), generator=order).split(config.batch_size):
            loss = F.cross_entropy(head(x[index]), y[index])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.after_step()
        schedule.after_epoch()
        head.eval()
        with torch.no_grad():
            logits = head(x_val)
        if not logits.isfinite().all():
            break
        accuracies.append((logits.argmax(1) == y_val).double().mean().item())
    return accuracies


def image_curve(config: TrainConfig, data_root: Path) -> list[float]:
    """Validation accuracy of each epoch, through the project's own `train`."""
    accuracies: list[float] = []
    try:
        for epoch in train(config, data_root, "cpu", threads=1):
            accuracies.append(epoch.val_acc)
    except Diverged:
        pass
    return accuracies


def _curve(problem: Problem, point: tuple[int, ...], data_root: Path, features: str) -> list[float]:
    torch.set_num_threads(1)
    config = TrainConfig(**problem.settings(point))
    return head_curve(config, _features(features)) if problem.features else image_curve(config, data_root)


def record(
    problem: Problem, data_root: Path, features: str, images: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    """The count of right images of every point after every epoch, (*grid, epochs)."""
    points = list(problem.points())
    right = np.full((len(points), problem.epochs), -1, np.int16)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        n = len(points)
        found = pool.map(_curve, [problem] * n, points, [data_root] * n, [features] * n, chunksize=8)
        for row, accuracies in enumerate(found):
            right[row, : len(accuracies)] = np.rint(np.array(accuracies) * images)
            if row % 100 == 0:
                print(f"{problem.name}: {row} of {n}", flush=True)
    return right.reshape(*problem.shape, problem.epochs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--features", default="features.pt", help="where the Lite0 features are kept, made if missing")
    parser.add_argument("--only", choices=[problem.name for problem in PROBLEMS])
    arguments = parser.parse_args()
    if not Path(arguments.features).is_file():
        torch.save(pooled(arguments.data_root), arguments.features)
    stored = dict(np.load(CURVES)) if CURVES.is_file() else {}
    for problem in PROBLEMS:
        if arguments.only in (None, problem.name):
            model = LITE if problem.features else problem.fixed["model"]
            (val,) = load_data(model, problem.fixed["dataset"], arguments.data_root, "cpu", ("val",))
            stored[problem.name] = record(problem, arguments.data_root, arguments.features, len(val))
            stored[f"{problem.name}_images"] = np.array(len(val))
            np.savez_compressed(CURVES, **stored)


if __name__ == "__main__":
    main()
