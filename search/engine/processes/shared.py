"""What the trials of a process share unseen: models, numbers and texts of the space file, errors of threads."""

from __future__ import annotations

import argparse
import inspect
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

Plain = int | float | str
_PLAIN = (int, float, bool, str)
MOST = 100
"""Of a dict or an object that holds more, nothing is read."""


def shared(train: Callable[..., Any], path: Path) -> list[str]:
    """A line for each trainable model and each optimizer of PyTorch among the globals of `train`.

    So for those of the modules beside the space file at `path` that it uses. Frozen models are shared with good reason.
    """
    torch = sys.modules.get("torch")
    names: Mapping[str, Any] = getattr(train, "__globals__", {})
    if torch is None:
        return []
    seen: dict[int, str] = {}
    for where, name, value in _globals(names, path):
        if isinstance(value, torch.nn.Module):
            trained = any(weight.requires_grad for weight in value.parameters())
        else:
            trained = isinstance(value, torch.optim.Optimizer)
        if trained and id(value) not in seen:
            seen[id(value)] = f"{where}: {name} is made once, and every trial of a process trains it further"
    return [f"{line}: make it in train(), or copy it there" for line in seen.values()]


def plain(train: Callable[..., Any], path: Path) -> dict[tuple[str, str], Plain]:
    """The numbers and texts that trials may change for the next, by file and name.

    They are globals of `train` and of the modules beside the space file: by themselves, in a dict, or in an object of a
    namespace such as argparse's or of a class that stands there, which `train` itself may be.
    """
    while isinstance(train, partial):
        train = train.func
    function = inspect.unwrap(train)
    names = getattr(function if hasattr(function, "__globals__") else type(train).__call__, "__globals__", {})
    found: dict[tuple[str, str], Plain] = {}
    for where, name, value in _globals(names, path):
        for inner, one in [(name, value), *((f"{name}{part}", one) for part, one in _inside(value, path))]:
            if type(one) in _PLAIN:
                found[where, inner] = one
    return found


def _inside(value: Any, path: Path) -> list[tuple[str, Any]]:
    """What a dict or an object holds, by what is written behind its name."""
    held: dict[Any, Any] = (
        value if type(value) is dict else getattr(value, "__dict__", {}) if _mine(value, path) else {}
    )
    form = "[{!r}]" if held is value else ".{}"
    return [(form.format(key), one) for key, one in list(held.items())] if len(held) <= MOST else []


def _mine(value: Any, path: Path) -> bool:
    """Whether the object is a namespace, or of a class of the user's; models are another matter, see `shared`."""
    kind, torch = type(value), sys.modules.get("torch")
    if issubclass(kind, type) or (torch is not None and isinstance(value, torch.nn.Module)):
        return False
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    beside = isinstance(file, str) and Path(file).parent == path.parent
    return beside or isinstance(value, (argparse.Namespace, SimpleNamespace))


def changed(before: Mapping[tuple[str, str], Plain], now: Mapping[tuple[str, str], Plain]) -> list[str]:
    """A line for each of them that earlier trials of this process have changed, such as the best so far of all."""
    return [
        f"{where}: {name} is {now[where, name]!r} when the trial begins, and {value!r} in the file: an earlier trial "
        "of the process has changed it"
        for (where, name), value in before.items()
        if (where, name) in now and now[where, name] != value and value == value  # not NaN
    ]


class Threads:
    """The first exception that a thread has raised and nobody has caught; it is printed all the same."""

    def __init__(self) -> None:
        self.raised: BaseException | None = None
        self._before: Any = None

    def watch(self) -> None:
        """Forget what was raised, and listen from now on."""
        self.raised = None
        if self._before is None:
            self._before, threading.excepthook = threading.excepthook, self._hook

    def leave(self) -> None:
        """Listen no more."""
        if self._before is not None:
            threading.excepthook, self._before = self._before, None
        self.raised = None

    def _hook(self, found: threading.ExceptHookArgs) -> None:
        if self.raised is None and not issubclass(found.exc_type, SystemExit):
            self.raised = found.exc_value
        (self._before or threading.__excepthook__)(found)


def _globals(names: Mapping[str, Any], path: Path) -> Iterator[tuple[str, str, Any]]:
    """File, name and value of what `names` holds, then of the modules beside `path` among them."""
    beside: list[tuple[str, Mapping[str, Any]]] = []
    for name, value in list(names.items()):
        file = getattr(value, "__file__", None) if isinstance(value, ModuleType) else None
        if isinstance(file, str) and Path(file).parent == path.parent:
            beside.append((Path(file).name, vars(value)))
        else:
            yield path.name, name, value
    for where, inner in beside:
        yield from ((where, name, value) for name, value in list(inner.items()))
