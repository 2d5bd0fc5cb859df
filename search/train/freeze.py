"""Layers that do not train, named by the prefixes of their modules."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from search.errors import SearchError


def within(name: str, prefixes: Sequence[str]) -> bool:
    """Whether the parameter or module `name` is one of `prefixes`, or lies under one."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def freeze(model: nn.Module, prefixes: Sequence[str]) -> None:
    """Take the gradient from every parameter under `prefixes`, such as ``features`` or ``layer4.0``.

    Raises SearchError for a prefix that holds no parameter, or if nothing is left to train.
    """
    parameters = dict(model.named_parameters())
    for prefix in prefixes:
        if not any(within(name, [prefix]) for name in parameters):
            modules = sorted({name.partition(".")[0] for name in parameters})
            close = get_close_matches(prefix, [name for name, _ in model.named_modules()], n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"the model has {', '.join(modules)}"
            raise SearchError(f"frozen={prefix!r} matches no parameter of the model; {hint}")
    for name, parameter in parameters.items():
        parameter.requires_grad_(not within(name, prefixes))
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise SearchError(f"frozen={','.join(prefixes)!r} freezes the whole model; nothing is left to train")


def train_mode(model: nn.Module, prefixes: Sequence[str]) -> None:
    """``model.train()``, but what is frozen stays in ``eval()``, all but its dropout layers.

    Frozen batch normalisation keeps its statistics, and frozen blocks are not skipped at random (stochastic depth):
    that regularises the training of blocks, and these do not train.
    """
    model.train()
    for name, module in model.named_modules():
        if within(name, prefixes) and not isinstance(module, _DropoutNd):
            module.training = False
