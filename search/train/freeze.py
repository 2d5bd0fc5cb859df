"""Layers by the prefixes of their modules: those that do not train, and all as groups from bottom to top."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
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


def batch_norm(model: nn.Module, prefixes: Sequence[str]) -> str:
    """The name of the first batch normalisation that trains, "" if none: it needs two images a step, or more."""
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and not within(name, prefixes):
            return name or type(module).__name__
    return ""


def steps(images: int, batch_size: int, norm: str) -> int:
    """The steps of an epoch of so many images; `norm`: what `batch_norm` found.

    With batch normalisation, a last batch of one image joins the batch before. Raises SearchError where there is none
    before.
    """
    if norm and min(images, batch_size) == 1:
        what = f"batch_size={batch_size}" if batch_size == 1 else "one training image"
        raise SearchError(
            f"{what}: the batch normalisation {norm!r} compares the images of a step, and one has none to be compared "
            "with; take 2 or more, or freeze it"
        )
    return math.ceil(images / batch_size) - int(bool(norm) and images % batch_size == 1)


def train_mode(model: nn.Module, prefixes: Sequence[str]) -> None:
    """``model.train()``, but what is frozen stays in ``eval()``, all but its dropout layers.

    Frozen batch normalisation keeps its statistics, and frozen blocks are not skipped at random (stochastic depth):
    that regularises the training of blocks, and these do not train.
    """
    model.train()
    for name, module in model.named_modules():
        if within(name, prefixes) and not isinstance(module, _DropoutNd):
            module.training = False


FEW = 4
"""A model of fewer groups than this is taken apart further."""


def layer_groups(model: nn.Module) -> list[tuple[str, ...]]:
    """The layer groups of `model` that hold a parameter that trains, bottom first: prefixes of parameter names.

    The children of the model, in the order in which it registers them; while these are fewer than FEW, their
    children. So AlexNet's ``features`` and ``classifier`` come apart into eight layers, a ViT's encoder into its
    blocks, and a ResNet stays in its stages. The last group is the head. What has no weight matrix of its own, such
    as a norm, and what no child holds, such as a class token, goes with the group below it, or with the first.
    A model whose attribute ``layer_groups`` is a list says its groups itself, as prefixes, bottom first. Raises
    SearchError where these hold a parameter twice or not at all.
    """
    stated = getattr(model, "layer_groups", None)
    groups = _checked(model, stated) if isinstance(stated, list) else _opened(model)
    trains = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    return [group for group in groups if any(within(name, group) for name in trains)]


def _checked(model: nn.Module, stated: list[Any]) -> list[tuple[str, ...]]:
    groups = [(group,) if isinstance(group, str) else tuple(group) for group in stated]
    for name, _ in model.named_parameters():
        if (number := sum(within(name, group) for group in groups)) != 1:
            where = f"layer_groups of {type(model).__name__}: {name} is in {number or 'none'} of them"
            raise SearchError(f"{where}; each parameter must be in one")
    return groups


def _opened(model: nn.Module) -> list[tuple[str, ...]]:
    groups = _join(model, [name for name, _ in model.named_children()])
    while len(groups) < FEW:
        opened = _join(model, [inner for group in groups for name in group for inner in _open(model, name)])
        if opened == groups:
            break
        groups = opened
    return groups


def _open(model: nn.Module, name: str) -> list[str]:
    """The parameters and children of the module `name`; `name` itself if it has no children."""
    parts = dict(model.named_modules()).get(name)
    children = [inner for inner, _ in parts.named_children()] if parts else []
    if parts is None or not children:
        return [name]
    own = [inner for inner, _ in parts.named_parameters(recurse=False)]
    return [f"{name}.{inner}" for inner in own + children]


def _join(model: nn.Module, names: list[str]) -> list[tuple[str, ...]]:
    """Groups of `names`, each with one module that has a weight matrix; every parameter of the model is in one."""
    modules, parameters = dict(model.named_modules()), dict(model.named_parameters())
    loose = [name for name, _ in model.named_parameters(recurse=False) if name not in names]
    groups: list[list[str]] = []
    first: list[str] = []
    for name in loose + names:
        held = [parameter for other, parameter in parameters.items() if within(other, [name])]
        if name in modules and any(parameter.ndim > 1 for parameter in held):
            groups.append([*first, name])
            first = []
        elif held:
            (groups[-1] if groups else first).append(name)
    return [tuple(group) for group in groups] or [tuple(first)]
