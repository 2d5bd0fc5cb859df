"""The epoch loop. It knows neither Ray nor Optuna: whoever draws the epochs may stop drawing."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Generator
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from search.config import Epoch, TrainConfig
from search.data import cache
from search.data.augment import Augment, Mix
from search.data.datasets import Split, open_source
from search.models import build, check_name, image_spec, set_dropout
from search.train.device import Place, settle
from search.train.freeze import freeze, train_mode
from search.train.groups import layer_groups
from search.train.optim import Schedule, make_optimizer

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
        self._whole = images.pixels if device == "cpu" else torch.from_numpy(np.array(images.pixels)).to(device)
        self._centre = self._whole[:, window, window]
        self.labels = torch.from_numpy(images.labels).to(device)
        self.channels = images.pixels.shape[3]
        self.side = crop
        self._scale = 1 / (255 * torch.tensor(std, device=device)).view(-1, 1, 1)
        self._shift = -(torch.tensor(mean, device=device) / torch.tensor(std, device=device)).view(-1, 1, 1)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(
        self, index: Tensor, memory_format: torch.memory_format, augment: Augment | None = None
    ) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W), float32, normalised, and labels (B,), for the indices (B,) on the CPU.

        The centre square of each image, or what `augment` makes of the whole.
        """
        source = self._centre if augment is None else self._whole
        if isinstance(source, Tensor):
            index = index.to(self.device)
            pixels = source[index]
        else:
            pixels = torch.from_numpy(source[index.numpy()])
        if augment is not None:
            pixels = augment(pixels, self.side)
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
    splits: tuple[Split, ...] = ("train", "val")
    train_data, val_data = load_data(config.model, config.dataset, root, place.device, splits, config.subset)
    learner = Learner(config, train_data, place)
    order = torch.Generator().manual_seed(config.seed)
    for number in range(1, config.epochs + 1):
        start = time.perf_counter()
        lr = learner.begin(number)
        batches = torch.randperm(len(train_data), generator=order).split(config.batch_size)
        losses = torch.stack([learner.step(index) for index in batches]).double().cpu()
        sizes = torch.tensor([len(batch) for batch in batches], dtype=torch.float64)
        train_loss = (losses @ sizes / len(train_data)).item()
        if not math.isfinite(train_loss):
            step = int((~losses.isfinite()).nonzero()[0].item()) + 1
            raise Diverged(f"the training loss is {train_loss} from step {step} of epoch {number} on")
        val_loss, val_acc = evaluate(learner.result, val_data, place)
        if not math.isfinite(val_loss):  # the last steps broke the weights
            raise Diverged(f"the validation loss is {val_loss} after epoch {number}")
        learner.schedule.after_epoch()
        yield Epoch(
            epoch=number,
            train_loss=train_loss,
            last_step_loss=losses[-1].item(),
            val_loss=val_loss,
            val_acc=val_acc,
            lr=lr,
            seconds=time.perf_counter() - start,
        )
    return learner.result


class Learner:
    """A model in training: all that one step needs, and the step."""

    def __init__(self, config: TrainConfig, data: Data, place: Place) -> None:
        self.config, self.data, self.place = config, data, place
        torch.manual_seed(config.seed)
        self.model = build(config.model, len(data.classes), data.channels, config.weights, data.side, config.hidden)
        if config.dropout is not None:
            set_dropout(self.model, config.model, config.dropout)
        freeze(self.model, config.frozen)
        self._groups = layer_groups(self.model) if config.gradual_unfreeze else []
        self.model.to(place.device).to(memory_format=place.memory_format)
        self.optimizer = make_optimizer(self.model, config)
        self.schedule = Schedule(self.optimizer, config, math.ceil(len(data) / config.batch_size))
        self._scaler = GradScaler(place.device, enabled=place.precision == "fp16")
        average = get_ema_multi_avg_fn(config.ema)
        self._average = AveragedModel(self.model, multi_avg_fn=average) if config.ema else None
        noise = torch.Generator().manual_seed(config.seed)
        self._augment = Augment(config.augment, noise) if config.augment != "none" else None
        mixes = config.mixup or config.cutmix
        self._mix = Mix(config.mixup, config.cutmix, len(data.classes), noise) if mixes else None

    def begin(self, number: int) -> float:
        """Make ready for the epoch `number`, counted from 1; the learning rate of its first step, of the top group."""
        held = self._groups[:-number]  # of no groups, none
        frozen = (*self.config.frozen, *(prefix for group in held for prefix in group))
        freeze(self.model, frozen)
        train_mode(self.model, frozen)
        return float(self.optimizer.param_groups[-1]["lr"])

    def step(self, index: Tensor) -> Tensor:
        """One optimizer step on the images `index` (B,); their mean loss, a scalar on the device."""
        config = self.config
        x, y = self.data.batch(index, self.place.memory_format, self._augment)
        if self._mix is not None:
            x, y = self._mix(x, y)
        with self.place.autocast():
            loss = F.cross_entropy(self.model(x), y, label_smoothing=config.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        if config.grad_clip is not None:
            self._scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), config.grad_clip)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.schedule.after_step()
        if self._average is not None:
            self._average.update_parameters(self.model)
        return loss.detach()

    @property
    def result(self) -> nn.Module:
        """What is evaluated and kept: the model, or the average of its weights (batch statistics are the model's)."""
        return self.model if self._average is None else self._average.module


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
