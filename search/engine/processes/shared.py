"""What the trials of a process share unseen: models and numbers that a space file makes once, errors of threads."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any


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


def numbers(train: Callable[..., Any], path: Path) -> dict[tuple[str, str], int | float]:
    """The numbers among the globals of `train`, and in the modules beside the space file, by file and name."""
    found = _globals(getattr(train, "__globals__", {}), path)
    return {(where, name): value for where, name, value in found if type(value) in (int, float, bool)}


def changed(before: Mapping[tuple[str, str], int | float], now: Mapping[tuple[str, str], int | float]) -> list[str]:
    """A line for each number that earlier trials of this process have changed, such as the best so far of all."""
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
