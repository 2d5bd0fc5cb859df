"""Custom models: a function in a file, ``path/to/file.py:function``."""

from __future__ import annotations

import inspect
import runpy
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from search.errors import SearchError, first_line, nearest
from search.models.base import Family, Task


class Custom(Family):
    """Functions (num_classes, channels) -> nn.Module in the user's files; a third argument `side` has the pixels."""

    def has(self, model: str) -> bool:
        return ".py:" in model

    def check(self, model: str) -> None:
        _function(model)

    def build(self, model: str, task: Task) -> nn.Module:
        """What the function returns. Raises SearchError if it fails, or returns anything but a module."""
        function = _function(model)
        try:
            net = function(task.num_classes, task.channels, **_side(function, task))
        except SearchError:
            raise
        except Exception as error:  # the user's own code
            raise SearchError(f"{model}: {type(error).__name__}: {first_line(error)}") from None
        if not isinstance(net, nn.Module):
            raise SearchError(f"{model} returned a {type(net).__name__}; it must be a torch.nn.Module")
        if next(net.parameters(), None) is None:
            said = f"{model} returned a {type(net).__name__} without parameters"
            raise SearchError(f"{said}; there is nothing to train")
        _settle(model, net, (task.channels, *task.size))
        return net

    def code(self, model: str, task: Task) -> list[str]:
        """With the user's file beside the weights."""
        file, _, name = model.rpartition(":")
        words = "".join(f", {word}={value}" for word, value in _side(_function(model), task).items())
        return [
            "import runpy",
            f"{name} = runpy.run_path({Path(file).name!r})[{name!r}]",
            f"model = {name}({task.num_classes}, {task.channels}{words})",
        ]


def _side(function: Callable[..., nn.Module], task: Task) -> dict[str, int]:
    return {"side": task.size[0]} if "side" in inspect.signature(function).parameters else {}


def _settle(model: str, net: nn.Module, shape: tuple[int, ...]) -> None:
    """Give lazy layers their shapes by a pass of empty images of the `shape`, which is C, H, W. Raises SearchError.

    In eval mode, so that no statistics move and no random number is drawn but those of the new layers.
    """
    if not _lazy(net):
        return
    modes = {module: module.training for module in net.modules()}
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(2, *shape))
    except Exception as error:  # the user's own code
        said = f"its lazy layers need a pass of images of {' x '.join(map(str, shape))}, which fails"
        raise SearchError(f"{model}: {said}: {type(error).__name__}: {first_line(error)}") from None
    if left := _lazy(net):
        said = f"the lazy layer {left[0].rpartition('.')[0]} has no part in its forward()"
        raise SearchError(f"{model}: {said}: leave it out, or give it a shape")
    for module, mode in modes.items():
        module.training = mode


def _lazy(net: nn.Module) -> list[str]:
    """The parameters and buffers that have no shape yet."""
    return [name for name, value in chain(net.named_parameters(), net.named_buffers()) if is_lazy(value)]


def _function(model: str) -> Callable[..., nn.Module]:
    """The function that ``path/to/file.py:function`` names. Raises SearchError."""
    file, _, name = model.rpartition(":")
    if not Path(file).is_file():
        raise SearchError(f"model={model!r}: no file {file}; write it as path/to/file.py:function")
    try:
        found = runpy.run_path(file)
    except (Exception, SystemExit) as error:  # the user's own code
        raise SearchError(f"{file}: {type(error).__name__}: {first_line(error)}") from None
    if not callable(found.get(name)):
        known = {key for key, value in found.items() if callable(value) and not key.startswith("_")}
        raise SearchError(f"{file}: no function {name!r}{nearest(name, known)}")
    function: Callable[..., nn.Module] = found[name]
    return function
