"""Small models that take a data set's own images."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn

from search.models.base import Family, Task


def cnn(num_classes: int, channels: int) -> nn.Module:
    """Two convolutions and a linear head, for images of 8 to 64 px: (N, channels, H, W) to (N, num_classes)."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()),
        nn.Linear(64 * 16, num_classes),
    )


MODELS: dict[str, Callable[[int, int], nn.Module]] = {"cnn": cnn}
"""Name to build(num_classes, channels)."""


class Small(Family):
    """The functions in MODELS."""

    def names(self) -> Iterable[str]:
        return MODELS

    def build(self, model: str, task: Task) -> nn.Module:
        return MODELS[model](task.num_classes, task.channels)
