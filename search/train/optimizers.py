"""The optimizer of a config."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar, cast

import torch
from torch import nn, optim
from torch.optim import Optimizer

from search.config import TrainConfig
from search.train.freeze import layer_groups, within

Kind = TypeVar("Kind", bound=Optimizer)


def _never_compiled(kind: type[Kind]) -> type[Kind]:
    """Torch wraps an optimizer's methods for torch.compile, and the first call imports what takes 1.5 s of a core."""
    names = ("add_param_group", "load_state_dict", "state_dict", "step", "zero_grad")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    return cast(type[Kind], type(kind.__name__, (kind,), methods | {"step": torch.no_grad()(methods["step"])}))


Adam, AdamW, SGD = _never_compiled(optim.Adam), _never_compiled(optim.AdamW), _never_compiled(optim.SGD)


def make_optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    """The optimizer of `config`, torch's own and fused, over the parameters that train."""
    groups = parameter_groups(model, config)
    if config.optimizer == "adamw":
        return AdamW(groups, lr=config.lr, weight_decay=config.weight_decay, fused=True)
    if config.optimizer == "adam":
        return Adam(groups, lr=config.lr, weight_decay=config.weight_decay, fused=True)
    nesterov = config.nesterov and config.momentum > 0  # torch refuses it without momentum, where it changes nothing
    sgd = SGD(
        groups,
        lr=config.lr,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=nesterov,
        fused=True,
    )
    if config.momentum > 0:
        # A velocity of zero gives the first step that torch takes without one. But torch's fused SGD keeps memory that
        # nobody filled if the gradient scaler leaves the first step out, and fails if a layer thaws beside older ones.
        for parameter in (p for group in groups for p in group["params"]):
            sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return sgd


def parameter_groups(model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """What trains, with its learning rate, weight decay and, if `layer_decay` sets it apart, name; the top layers last.

    The rate is divided by `layer_decay` from each layer group to the one below, counted from the top group that
    trains (Howard and Ruder 2018, arXiv 1801.06146, section 3.2). Biases and norms are the parameters of one dimension.
    """
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    layers = {"": list(trainable.values())}
    if config.layer_decay > 1:
        groups = layer_groups(model)
        layers = {"+".join(group): [p for name, p in trainable.items() if within(name, group)] for group in groups}
    found: list[dict[str, Any]] = []
    for depth, (layer, parameters) in zip(reversed(range(len(layers))), layers.items(), strict=True):
        shared = {"layer": layer, "lr": config.lr / config.layer_decay**depth}
        if config.decay_norms_and_biases:
            found.append({"params": parameters, **shared})
            continue
        found.append({"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0, **shared})
        found.append({"params": [p for p in parameters if p.ndim > 1], **shared})
    return [group for group in found if group["params"]]
