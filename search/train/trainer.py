"""The epoch loop. It knows neither Ray nor Optuna: whoever draws the epochs may stop drawing."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Generator, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.config import Epoch, TrainConfig
from search.data import cache
from search.data.datasets import Split, open_source
from search.models import build, check_name, image_spec
from search.train.device import Place, settle
from search.train.freeze import freeze, train_mode
from search.train.optim import make_optimizer, make_schedule

EVAL_BATCH = 512
"""Images a step where no gradient is kept."""


class Diverged(ArithmeticError):
    """The loss is no number any more."""


class Data:
    """One split on its device: uint8 pixels, turned into normalised batches where they are.

    On a GPU the whole split lies in its memory; on a CPU it stays in the memory-mapped file.
    """

    def __init__(self, images: cache.Images, crop: int, mean: tuple[float, ...], std: tuple[float, ...], device: str):
        self.device = device
        self.classes = images.classes
        side = images.pixels.shape[1]
        first = (side - crop) // 2
        window = slice(first, first + crop)
        self._memory: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = images.pixels[:, window, window]
        self._resident = torch.from_numpy(np.array(self._memory)).to(device) if device != "cpu" else None
        self.labels = torch.from_numpy(images.labels).to(device)
        self.channels = images.pixels.shape[3]
        self.side = crop
        self._scale = 1 / (255 * torch.tensor(std, device=device)).view(-1, 1, 1)
        self._shift = -(torch.tensor(mean, device=device) / torch.tensor(std, device=device)).view(-1, 1, 1)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: Tensor, memory_format: torch.memory_format) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W), float32, normalised, and labels (B,), for the indices (B,) on the CPU."""
        if self._resident is None:
            pixels = torch.from_numpy(self._memory[index.numpy()])
        else:
            index = index.to(self.device)
            pixels = self._resident[index]
        x = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=memory_format)
        return x.mul_(self._scale).add_(self._shift), self.labels[index]


def default_data_root() -> Path:
    """``$SEARCH_DATA_ROOT``, by default ``data``."""
    return Path(os.environ.get("SEARCH_DATA_ROOT") or "data")


@lru_cache(maxsize=4)
def load_data(
    model: str, dataset: str, root: Path, device: str, splits: tuple[Split, ...], subset: int | None = None
) -> tuple[Data, ...]:
    """The splits of `dataset` as `model` wants to see them, of training `subset` images; kept from trial to trial."""
    check_name(model)
    source = open_source(dataset, root)
    spec = image_spec(model)
    images = cache.load(source, spec.resize if spec else None, splits)
    crop, mean, std = (spec.crop, spec.mean, spec.std) if spec else (source.native, source.mean, source.std)
    if "train" in splits:
        images[splits.index("train")] = cache.subset(images[splits.index("train")], subset)
    return tuple(Data(split, crop, mean, std, device) for split in images)


def train(
    config: TrainConfig, data_root: str | Path | None = None, device: str = "auto", threads: int | None = None
) -> Generator[Epoch, None, nn.Module]:
    """Train `config`, yielding one Epoch after another; the generator's return value is the trained model.

    >>> for epoch in train(config):
    ...     print(epoch)

    Args:
        config: what to train.
        data_root: the folder that holds the data sets; by default ``$SEARCH_DATA_ROOT``, or ``data``.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads; by default torch's own choice.

    Raises:
        SearchError: the model, the data, the weights or the frozen prefixes are not there.
        Diverged: the training or the validation loss is NaN or infinite.
    """
    place = settle(config.precision, device, threads)
    root = Path(data_root) if data_root else default_data_root()
    train_data, val_data = load_data(config.model, config.dataset, root, place.device, ("train", "val"), config.subset)
    torch.manual_seed(config.seed)
    model = build(
        config.model, len(train_data.classes), train_data.channels, config.weights, train_data.side, config.hidden
    )
    freeze(model, config.frozen)
    model.to(place.device).to(memory_format=place.memory_format)
    optimizer = make_optimizer(model, config)
    schedule = make_schedule(optimizer, config)
    order = torch.Generator().manual_seed(config.seed)
    for number in range(1, config.epochs + 1):
        start = time.perf_counter()
        train_mode(model, config.frozen)
        lr = optimizer.param_groups[0]["lr"]
        batches = torch.randperm(len(train_data), generator=order).split(config.batch_size)
        losses = torch.stack(list(_steps(model, train_data, optimizer, place, batches))).double().cpu()
        sizes = torch.tensor([len(batch) for batch in batches], dtype=torch.float64)
        train_loss = (losses @ sizes / len(train_data)).item()
        if not math.isfinite(train_loss):
            step = int((~losses.isfinite()).nonzero()[0].item()) + 1
            raise Diverged(f"the training loss is {train_loss} from step {step} of epoch {number} on")
        val_loss, val_acc = evaluate(model, val_data, place)
        if not math.isfinite(val_loss):  # the last steps broke the weights
            raise Diverged(f"the validation loss is {val_loss} after epoch {number}")
        schedule.step()
        yield Epoch(
            epoch=number,
            train_loss=train_loss,
            last_step_loss=losses[-1].item(),
            val_loss=val_loss,
            val_acc=val_acc,
            lr=lr,
            seconds=time.perf_counter() - start,
        )
    return model


def _steps(
    model: nn.Module, data: Data, optimizer: torch.optim.Optimizer, place: Place, batches: Iterable[Tensor]
) -> Iterator[Tensor]:
    """One step for each batch of indices; yields each step's mean loss, a scalar on the device."""
    for index in batches:
        x, y = data.batch(index, place.memory_format)
        with place.autocast():
            loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        yield loss.detach()


@torch.no_grad()
def evaluate(model: nn.Module, data: Data, place: Place) -> tuple[float, float]:
    """Mean cross-entropy in nats and top-1 accuracy, a fraction, of `model` on `data`."""
    model.eval()
    total = torch.zeros(2, dtype=torch.float64, device=place.device)
    for index in torch.arange(len(data)).split(EVAL_BATCH):
        x, y = data.batch(index, place.memory_format)
        with place.autocast():
            logits = model(x).float()
        total[0] += F.cross_entropy(logits, y, reduction="sum")
        total[1] += (logits.argmax(1) == y).sum()
    loss, right = (total / len(data)).tolist()
    return loss, right


def evaluate_test(
    model: nn.Module, config: TrainConfig, data_root: str | Path | None = None, device: str = "auto"
) -> float:
    """Top-1 accuracy on the test split, a fraction. Only `search train` and `search confirm` may look at it."""
    place = settle(config.precision, device)
    root = Path(data_root) if data_root else default_data_root()
    (test,) = load_data(config.model, config.dataset, root, place.device, ("test",))
    return evaluate(model, test, place)[1]
