"""Record the problems that were held back (held.py): every point, all epochs, three seeds of the best fifty.

python -m benchmarks.record_held --data-root data --cifar cifar10-jpeg.tar.gz

The heads and the fully connected layers train side by side, as in record.py: the same initial weights and batches as
the project's trainer, each point with its own schedule. Dropout and flips are drawn once for all of them. The
convolutions are trained by the project's trainer. Written are counts of right validation images, and neither images nor
features.
"""

from __future__ import annotations

import argparse
import io
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from benchmarks.held import BEST, HELD, PROBLEMS
from benchmarks.problems import Problem
from benchmarks.record import Split, Stack, inputs, principal
from search.config import TrainConfig
from search.train.batches import load_splits
from search.train.schedules import Schedule
from search.train.trainer import Diverged, train

BETAS, EPSILON = (0.9, 0.999), 1e-8
ROWS = 36
"""So many train side by side."""
PER_CLASS = {"train": 200, "val": 100}
"""Images of CIFAR-10's train folder, in the order of their names."""


class Rows(Stack):
    """Rows of heads, each with its optimizer's settings, its dropout and its schedule."""

    def __init__(self, configs: Sequence[TrainConfig], width: int, classes: int) -> None:
        super().__init__(configs[0], width, classes, len(configs))
        self.configs, self.squares, self.count = configs, [torch.zeros_like(v) for v in self.velocities], 0
        self.drop = self.column([c.dropout or 0.0 for c in configs])
        self.decay = self.column([c.weight_decay for c in configs])
        self.momentum = self.column([c.momentum for c in configs])

    @staticmethod
    def column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1)

    def losses(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        h = x if x.ndim == 3 else x.expand(len(self.parameters[0]), -1, -1)
        for layer in range(0, len(self.parameters), 2):
            if layer:
                h = F.relu(h)
                if self.parameters[0].requires_grad and bool(self.drop.any()):
                    h = h * (torch.rand(h.shape[1:]) >= self.drop) / (1 - self.drop)
            h = torch.baddbmm(self.parameters[layer + 1], h, self.parameters[layer])
        each = F.cross_entropy(h.flatten(0, 1), y.repeat(len(h)), reduction="none")
        return each.view(len(h), -1).mean(1), h.argmax(2)

    def update(self, x: Tensor, y: Tensor, lr: Tensor) -> Tensor:
        """One step of every row; its losses (rows,)."""
        if self.configs[0].optimizer == "sgd":
            return self.step(x, y, lr, self.momentum, self.decay)
        for tensor in self.parameters:
            tensor.requires_grad_()
        losses, _ = self.losses(x, y)
        gradients = torch.autograd.grad(losses.sum(), self.parameters)
        self.count += 1
        low, high = (1 - beta**self.count for beta in BETAS)
        with torch.no_grad():
            for p, m, v, g in zip(self.parameters, self.velocities, self.squares, gradients, strict=True):
                p.mul_(1 - lr * self.decay)
                m.lerp_(g, 1 - BETAS[0])
                v.lerp_(g * g, 1 - BETAS[1])
                p.sub_(lr * (m / low) / ((v / high).sqrt() + EPSILON))
                p.requires_grad_(False)
        return losses.detach()


def rates(config: TrainConfig, steps: int) -> NDArray[np.float64]:
    """The learning rate of every step, (epochs * steps,), as the trainer's schedule gives it."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=config.lr)
    schedule, found = Schedule(optimizer, config, steps), []
    optimizer.step()
    for _ in range(config.epochs):
        for _ in range(steps):
            found.append(float(optimizer.param_groups[0]["lr"]))
            schedule.after_step()
        schedule.after_epoch()
    return np.array(found)


def train_rows(configs: Sequence[TrainConfig], splits: Sequence[Split], classes: int) -> NDArray[np.int16]:
    """Right validation images of each config after each epoch, (configs, epochs); -1 from where a run diverged.

    `splits`: inputs (N, D), or of images that may be mirrored (N, C, H, W).
    """
    (x, y), (x_val, y_val) = splits
    first, count = configs[0], len(configs)
    size = first.batch_size
    rows = Rows(configs, x[0].numel(), classes)
    steps = -(-len(y) // size)
    lr = torch.tensor(np.stack([rates(config, steps) for config in configs]), dtype=torch.float32)
    order, coins = torch.Generator().manual_seed(first.seed), torch.Generator().manual_seed(first.seed)
    flips = torch.tensor([config.augment == "flip" for config in configs]).view(-1, 1, 1)
    alive, right = torch.ones(count, dtype=torch.bool), np.full((count, first.epochs), -1, np.int16)
    step = 0
    for epoch in range(first.epochs):
        for index in torch.randperm(len(y), generator=order).split(size):
            batch = x[index]
            if bool(flips.any()):
                coin = torch.randint(2, (len(index),), generator=coins).bool().view(-1, 1, 1, 1)
                mirrored = torch.where(coin, batch.flip(3), batch)
                batch = torch.where(flips, mirrored.flatten(1), batch.flatten(1))
            else:
                batch = batch.flatten(1)
            alive &= rows.update(batch, y[index], lr[:, step].view(-1, 1, 1)).isfinite()
            step += 1
        with torch.no_grad():
            losses, found = rows.losses(x_val.flatten(1), y_val)
        alive &= losses.isfinite()
        right[:, epoch] = np.where(alive.numpy(), (found == y_val).sum(1).numpy(), -1)
    return right


def record_rows(problem: Problem, splits: Sequence[Split]) -> NDArray[np.int16]:
    """(seeds, *grid, epochs): of all points the first seed, of its best BEST the others, -2 of the rest."""
    points = list(problem.points())
    found = np.full((problem.seeds, len(points), problem.epochs), -2, np.int16)
    for seed in range(problem.seeds):
        todo = range(len(points)) if seed == 0 else np.argsort(-found[0, :, -1], kind="stable")[:BEST]
        for block in np.array_split(np.array(todo), -(-len(todo) // ROWS)):
            configs = [TrainConfig(**problem.settings(points[place]), seed=seed) for place in block]
            found[seed, block] = train_rows(configs, splits, problem.classes)
            print(f"{problem.name}: seed {seed + 1} of {problem.seeds}, {len(block)} points", flush=True)
    return found.reshape(problem.seeds, *problem.shape, problem.epochs)


def record_whole(problem: Problem, root: Path, kept: Path) -> NDArray[np.int16]:
    """(seeds, *grid, epochs), by the project's trainer; `kept`: what is done already, to go on from."""
    points = list(problem.points())
    found = np.full((problem.seeds, len(points), problem.epochs), -2, np.int16)
    if kept.is_file():
        found = np.load(kept)
    for seed in range(problem.seeds):
        rank = np.argsort(-found[0, :, -1], kind="stable")
        todo = range(len(points)) if seed == 0 else rank[:BEST]
        for place in todo:
            if (found[seed, place] == -2).all():
                found[seed, place] = _curve(TrainConfig(**problem.settings(points[place]), seed=seed), root)
                if place % 10 == 0:
                    np.save(kept, found)
        print(f"{problem.name}: seed {seed} of {problem.seeds}", flush=True)
    np.save(kept, found)
    return found.reshape(problem.seeds, *problem.shape, problem.epochs)


def _curve(config: TrainConfig, root: Path) -> NDArray[np.int16]:
    right = np.full(config.epochs, -1, np.int16)
    try:
        for epoch in train(config, root, threads=1):
            right[epoch.epoch - 1] = round(epoch.val_acc * 10 * PER_CLASS["val"])
    except Diverged:
        pass
    return right


def unpack(archive: Path, root: Path) -> None:
    """The first images of each class as an image folder, root/cifar2000."""
    taken: dict[tuple[str, str], int] = {}
    with tarfile.open(archive) as tar:
        members = sorted((m for m in tar.getmembers() if m.name.startswith("train/") and m.isfile()), key=_name)
        for member in members:
            label = member.name.split("/")[1]
            split = "train" if taken.get((label, "train"), 0) < PER_CLASS["train"] else "val"
            if taken.get((label, split), 0) < PER_CLASS[split]:
                taken[label, split] = taken.get((label, split), 0) + 1
                target = root / "cifar2000" / split / label / Path(member.name).name
                target.parent.mkdir(parents=True, exist_ok=True)
                file = tar.extractfile(member)
                assert file is not None
                target.write_bytes(io.BytesIO(file.read()).getvalue())


def _name(member: tarfile.TarInfo) -> str:
    return member.name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--cifar", type=Path, default=Path("cifar10-jpeg.tar.gz"))
    parser.add_argument("--features", type=Path, default=Path("features.pt"), help="made if missing, then kept")
    parser.add_argument("--only", choices=[problem.name for problem in PROBLEMS])
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "record_held")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for problem in PROBLEMS:
        stored = dict(np.load(HELD)) if HELD.is_file() else {}
        if problem.name in stored or arguments.only not in (None, problem.name):
            continue
        if problem.features:
            if not arguments.features.is_file():
                torch.save(inputs(problem, arguments.data_root), arguments.features)
            splits: list[Split] = principal(torch.load(arguments.features), problem.features)
        elif problem.fixed["dataset"] == "digits":
            splits = inputs(problem, arguments.data_root)
        else:
            if not (arguments.work / "cifar2000").is_dir():
                unpack(arguments.cifar, arguments.work)
            config = TrainConfig(**problem.settings(next(problem.points())))
            data = load_splits(config, arguments.work, "cpu", "train", "val")
            splits = [(d.batch(torch.arange(len(d)), torch.contiguous_format)[0], d.labels) for d in data]
        whole = problem.fixed["model"] != "mlp"
        kept = arguments.work / f"{problem.name}.npy"
        stored[problem.name] = record_whole(problem, arguments.work, kept) if whole else record_rows(problem, splits)
        stored[f"{problem.name}_images"] = np.array(len(splits[1][1]))
        np.savez_compressed(HELD, **stored)


if __name__ == "__main__":
    main()
