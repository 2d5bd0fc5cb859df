"""Custom models: a function in a file, ``path/to/file.py:function``."""

from __future__ import annotations

import inspect
import runpy
from collections.abc import Callable
from pathlib import Path

from torch import nn

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
