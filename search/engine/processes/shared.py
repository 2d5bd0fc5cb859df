"""Models and optimizers that a space file makes once: each trial of a process trains what the one before left."""

from __future__ import annotations

import sys
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
