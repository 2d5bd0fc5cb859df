"""A model's layers as groups from bottom to top, for layer-wise learning rates and gradual unfreezing."""

from __future__ import annotations

from torch import nn

from search.train.freeze import within

FEW = 4
"""A model of fewer groups than this is taken apart further."""


def layer_groups(model: nn.Module) -> list[tuple[str, ...]]:
    """The layer groups of `model` that hold a parameter that trains, bottom first: prefixes of parameter names.

    The children of the model, in the order in which it registers them; while these are fewer than FEW, their
    children. So AlexNet's ``features`` and ``classifier`` come apart into eight layers, a ViT's encoder into its
    blocks, and a ResNet stays in its stages. The last group is the head. What has no weight matrix of its own, such
    as a norm, and what no child holds, such as a class token, goes with the group below it, or with the first.
    """
    groups = _join(model, [name for name, _ in model.named_children()])
    while len(groups) < FEW:
        opened = _join(model, [inner for group in groups for name in group for inner in _open(model, name)])
        if opened == groups:
            break
        groups = opened
    trains = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    return [group for group in groups if any(within(name, group) for name in trains)]


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
