"""What every family of models offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from search.errors import SearchError, option
from search.models.images import ImageSpec, Size
from search.models.weights import Loaded, check_published, load


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

    def image_spec(self, model: str, weights: str | None = None) -> ImageSpec | None:
        """The images that `weights` were made for, without them the published ones; None: the data set's own images."""
        return None

    @abstractmethod
    def build(self, model: str, task: Task) -> nn.Module:
        """A new model (N, C, H, W) to (N, classes); its values come from torch's global generator."""

    def published(self, model: str, weights: str) -> bool:
        """Whether `weights` names weights of the publisher, and not a file."""
        return weights == "DEFAULT"

    def weights_file(self, model: str, weights: str = "DEFAULT") -> Path:
        """The file of published weights, downloaded if missing. Raises SearchError if there is none."""
        raise SearchError(
            f"weights='DEFAULT': {model!r} has no pretrained weights; {option('set', 'weights=scratch')} goes without"
        )

    def files(self, model: str) -> Collection[str]:
        """The names of the published files of weights that end with a part of their hash."""
        return ()

    def rename(self, tensor: str) -> str:
        """The name in the model for the name `tensor` in a weights file."""
        return tensor

    def fit(self, state: dict[str, Tensor], net: nn.Module) -> str:
        """Bring tensors of `state` whose shape depends on the image's size to the shape in `net`; what was done."""
        return ""

    def code(self, model: str, task: Task) -> list[str]:
        """Lines of Python that need nothing of this project and end with ``model = ...``; its imports come first.

        Here: the layers one after another, for models that are an `nn.Sequential` of PyTorch's own layers.
        """
        return ["from torch import nn", f"model = {written(self.build(model, task))}"]

    def pretrained(self, model: str, task: Task, weights: str = "DEFAULT") -> tuple[nn.Module, Loaded]:
        """`build`, with published weights in every layer but the head; what to say of them. Raises SearchError."""
        return self.loaded(model, task, self.weights_file(model, weights))

    def loaded(self, model: str, task: Task, file: Path) -> tuple[nn.Module, Loaded]:
        """`build`, with the weights of `file`, and what to say of them. Raises SearchError."""
        check_published(file, self.files(model))
        net = self.build(model, task)
        return net, load(net, model, file, lambda: self.wider(model, task), self.rename, self.fit)

    def wider(self, model: str, task: Task) -> nn.Module:
        """`build` for one class more, by which the last layer is known."""
        return self.build(model, task._replace(num_classes=task.num_classes + 1))


def written(net: nn.Module) -> str:
    """An `nn.Sequential` of PyTorch's own layers as the Python that makes it anew, but for its weights."""
    if isinstance(net, nn.Sequential):
        return f"nn.Sequential({', '.join(map(written, net))})"
    return f"nn.{net!r}"


PIP = "pip install -e"


def extra(module: str, extra: str) -> Any:
    """The module `module`. Raises SearchError with the project's `extra` that installs it."""
    try:
        return import_module(module)
    except ImportError:
        raise SearchError(
            f"{module} is not installed; it comes with this project's extra: {PIP} '.[{extra}]'"
        ) from None
