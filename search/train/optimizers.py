"""Optimizer and schedule of a config."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
    StepLR,
)

from search.config import TrainConfig
from search.train.freeze import within
from search.train.layer_groups import layer_groups

CUT_FRAC, RATIO = 0.1, 32
"""Of the slanted triangle: the fraction of all steps in which the rate rises, and the top rate over the lowest."""


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


class Schedule:
    """The learning rates of a training run, all groups by the same factor.

    ``step`` changes them between epochs, the others between optimizer steps. A warm-up of `warmup_epochs` rises
    linearly, in its step k of n (from 0) to (k + 1) / (n + 1), step by step (Goyal et al. 2017, arXiv 1706.02677):
    the step schedule runs beside it, the cosine falls in the steps after it. one_cycle and slanted_triangular rise
    by themselves; there it sets how long.
    """

    def __init__(self, optimizer: Optimizer, config: TrainConfig, steps: int) -> None:
        """`steps`: optimizer steps in an epoch."""
        self._between_epochs: LRScheduler | None = None
        self._between_steps: LRScheduler | None = None
        self._left = config.epochs * steps
        warm = min(round(config.warmup_epochs * steps), self._left - 1)
        if config.schedule == "step":
            assert config.step_size is not None  # TrainConfig sees to it
            assert config.gamma is not None
            self._between_epochs = StepLR(optimizer, step_size=config.step_size, gamma=config.gamma)
        if config.schedule in ("step", "constant"):
            self._between_steps = _rise(optimizer, warm) if warm else None
        elif config.schedule == "cosine":
            self._between_steps = _cosine(optimizer, warm, self._left)
        elif config.schedule == "one_cycle":
            self._between_steps = _one_cycle(optimizer, warm, self._left)
        else:
            total, cut = self._left, warm or int(self._left * CUT_FRAC)
            self._between_steps = LambdaLR(optimizer, lambda t: slanted_triangular(t, total, cut))

    def after_step(self) -> None:
        """To be called after every optimizer step."""
        self._left -= 1
        if self._between_steps is not None and self._left:  # after the last there is no next rate
            self._between_steps.step()

    def after_epoch(self) -> None:
        """To be called after every epoch."""
        if self._between_epochs is not None:
            self._between_epochs.step()

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, as torch's own schedulers say it."""
        both = (self._between_epochs, self._between_steps)
        return {"left": self._left, "schedulers": [each and each.state_dict() for each in both]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` said."""
        self._left = state["left"]
        for each, found in zip((self._between_epochs, self._between_steps), state["schedulers"], strict=True):
            if each is not None:
                each.load_state_dict(found)


def _rise(optimizer: Optimizer, warm: int) -> LRScheduler:
    return LinearLR(optimizer, start_factor=1 / (warm + 1), total_iters=warm)


def _cosine(optimizer: Optimizer, warm: int, total: int) -> LRScheduler:
    """Half a cosine from the top to 0 (SGDR without restarts, Loshchilov and Hutter 2017, arXiv 1608.03983, eq. 5)."""
    if not warm:
        return CosineAnnealingLR(optimizer, total)
    return SequentialLR(optimizer, [_rise(optimizer, warm), CosineAnnealingLR(optimizer, total - warm)], [warm])


def _one_cycle(optimizer: Optimizer, warm: int, total: int) -> LRScheduler:
    """From lr / 25 to lr and down to lr / 250 000 (Smith and Topin 2018, arXiv 1708.07120), the momentum as it is."""
    top = [group["lr"] for group in optimizer.param_groups]
    rise = max(warm, 2) / total if warm and total > 2 else 0.3  # torch divides by zero if the rise has one step
    return OneCycleLR(optimizer, top, total_steps=total, pct_start=rise, cycle_momentum=False)


def slanted_triangular(t: int, total: int, cut: int) -> float:
    """Factor of the learning rate in step `t` (from 0) of `total`, of which `cut` rise.

    ULMFiT (Howard and Ruder 2018, arXiv 1801.06146), eq. 3, whose fall of cut (1 / cut_frac - 1) steps is total - cut
    where no rounding comes in.
    """
    cut = max(cut, 1)
    p = t / cut if t < cut else 1 - (t - cut) / max(total - cut, 1)
    return (1 + p * (RATIO - 1)) / RATIO
