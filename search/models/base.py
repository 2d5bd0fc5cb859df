"""What every family of models offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from search.errors import SearchError, option
from search.models.images import ImageSpec, Size
from search.models.weights import load


class Task(NamedTuple):
    """What a new model has to fit: the classes, the images, and the widths of mlp."""

    num_classes: int
    channels: int = 3
    size: Size = (64, 64)
    hidden: tuple[int, ...] = (512, 64, 512)


class Family(ABC):
    """Models that are built alike; `FAMILIES` in registry.py has one object of each."""

    def names(self) -> Iterable[str]:
        """The names that `known are ...` lists."""
        return ()

    def has(self, model: str) -> bool:
        """Whether the name `model` belongs to this family."""
        return model in self.names()

    def check(self, model: str) -> None:  # noqa: B027 # most names are checked by `has`
        """Raise SearchError if `model`, which belongs to this family, does not exist."""

    def image_spec(self, model: str) -> ImageSpec | None:
        """The images that the weights were made for; None: the model takes the data set's own images."""
        return None

    def resizable(self, model: str) -> bool:
        """Whether the setting `image_side` may choose the size of the images."""
        return self.image_spec(model) is not None

    @abstractmethod
    def build(self, model: str, task: Task) -> nn.Module:
        """A new model (N, C, H, W) to (N, classes); its values come from torch's global generator."""

    def weights_file(self, model: str) -> Path:
        """The file of the published weights, downloaded if missing. Raises SearchError if there is none."""
        raise SearchError(
            f"weights='DEFAULT': {model!r} has no pretrained weights; {option('set', 'weights=scratch')} goes without"
        )

    def rename(self, tensor: str) -> str:
        """The name in the model for the name `tensor` in a weights file."""
        return tensor

    def pretrained(self, model: str, task: Task) -> nn.Module:
        """`build`, with the published weights in every layer but the head. Raises SearchError."""
        file = self.weights_file(model)
        net = self.build(model, task)
        load(net, model, file, self.rename)
        return net


PIP = "pip install -e"


def extra(module: str, extra: str) -> Any:
    """The module `module`. Raises SearchError with the project's `extra` that installs it."""
    try:
        return import_module(module)
    except ImportError:
        raise SearchError(
            f"{module} is not installed; it comes with this project's extra: {PIP} '.[{extra}]'"
        ) from None
