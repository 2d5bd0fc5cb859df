"""What a check examines, one config on its device, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd

from search.config import TrainConfig
from search.data import cache
from search.data.base import Source
from search.data.inputs import inputs
from search.train.batches import Data, load_splits
from search.train.device import Runtime
from search.train.learner import Learner

PLAIN: dict[str, Any] = dict(
    schedule="constant",
    warmup_epochs=0.0,
    label_smoothing=0.0,
    mixup=0.0,
    cutmix=0.0,
    augment="none",
    ema=0.0,
    class_weights="none",
    sampler="shuffled",
    focal_gamma=0.0,
)
"""Settings under which the loss is the plain cross-entropy of the images as they are, and the rate stays."""


@dataclass(frozen=True)
class Finding:
    """The result of one check: what it saw, in numbers, and the remedy of a warning or a failure."""

    status: Literal["ok", "warn", "FAIL"]
    name: str
    seen: str
    remedy: str = ""


@dataclass(frozen=True)
class Case:
    """The examined config, its data and its runtime; the pictures go to `folder`."""

    config: TrainConfig
    source: Source
    root: Path
    runtime: Runtime
    folder: Path

    def data(self) -> tuple[Data, Data]:
        """The training and the validation split as the trainer sees them."""
        train, val = load_splits(self.config, self.root, self.runtime.device, "train", "val")
        return train, val

    def images(self) -> tuple[cache.Images, cache.Images]:
        """The same splits as decoded pictures, with their names."""
        spec = inputs(self.config.model, self.source, self.config.image_side, self.config.weights)
        train, val = cache.load(self.source, spec, ("train", "val"))
        return cache.subset(train, self.config.subset), val

    def learner(self, **changed: Any) -> Learner:
        """A new model in training, with some settings `changed`."""
        return Learner(self.config.model_copy(update=changed), self.data()[0], self.runtime)

    def plain_learner(self, rate: float) -> Learner:
        """A learner with Adam at `rate`, without what makes learning slower for the sake of generalising."""
        plain = dict(optimizer="adam", lr=rate, weight_decay=0.0, grad_clip=None, layer_decay=1.0)
        learner = self.learner(**PLAIN, **plain, gradual_unfreeze=False)
        for module in learner.model.modules():
            if isinstance(module, _DropoutNd):
                module.p = 0.0
        return learner

    def order(self) -> Tensor:
        """The training images in a random order that the seed determines."""
        return torch.randperm(len(self.data()[0]), generator=torch.Generator().manual_seed(self.config.seed))


def spread(labels: np.ndarray[Any, Any], count: int) -> list[int]:
    """Rows of `count` images, or of all, in as many classes as there are: one of each class, then a second, ..."""
    order = np.random.RandomState(0).permutation(len(labels))
    nth = np.empty(len(labels))
    for label in np.unique(labels):
        own = order[labels[order] == label]
        nth[own] = np.arange(len(own))
    return [int(row) for row in order[np.argsort(nth[order], kind="stable")][:count]]
