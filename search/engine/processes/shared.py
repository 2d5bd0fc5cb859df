"""What the trials of a process share unseen: models, numbers and texts of the space file, errors of threads."""

from __future__ import annotations

import argparse
import inspect
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

Plain = int | float | str
_PLAIN = (int, float, bool, str)
MOST = 100
"""Of a dict or an object that holds more, nothing is read."""
DEEP = 3
"""So deep dicts and objects are read that lie in others."""


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
        found |= {(where, inner): one for inner, one in _inside(name, value, path, DEEP)}
    return found


def _inside(name: str, value: Any, path: Path, deep: int) -> Iterator[tuple[str, Plain]]:
    """The numbers and texts in a value, each by what is written for it; dicts and objects are looked into so `deep`."""
    if type(value) in _PLAIN:
        yield name, value
        return
    held = value if isinstance(value, dict) else getattr(value, "__dict__", {}) if _mine(value, path) else {}
    form = "{}[{!r}]" if held is value else "{}.{}"
    if deep and len(held) <= MOST:
        for key, one in list(held.items()):
            if held is value or not str(key).startswith("__"):
                yield from _inside(form.format(name, key), one, path, deep - 1)


def _mine(value: Any, path: Path) -> bool:
    """Whether it is a namespace, or a function or class of the user's, or an object of one; models: see `shared`."""
    kind, torch = value if isinstance(value, (type, FunctionType)) else type(value), sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.nn.Module):
        return False
    beside = _file_beside(sys.modules.get(kind.__module__), path) is not None
    return beside or isinstance(value, (argparse.Namespace, SimpleNamespace))


def _file_beside(module: ModuleType | None, path: Path) -> Path | None:
    """The file of the module, if it lies beside `path`."""
    file = getattr(module, "__file__", None)
    return Path(file) if isinstance(file, str) and Path(file).parent == path.parent else None


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
        file = _file_beside(value, path) if isinstance(value, ModuleType) else None
        if file is not None:
            beside.append((file.name, vars(value)))
        else:
            yield path.name, name, value
    for where, inner in beside:
        yield from ((where, name, value) for name, value in list(inner.items()))
