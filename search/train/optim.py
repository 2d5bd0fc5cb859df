"""Optimizer and schedule of a config."""

from __future__ import annotations

from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LRScheduler, StepLR

from search.config import TrainConfig


def make_optimizer(model: nn.Module, config: TrainConfig) -> SGD:
    """SGD with momentum and L2 weight decay (torch's), over the parameters that train."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return SGD(trainable, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay, fused=True)


def make_schedule(optimizer: SGD, config: TrainConfig) -> LRScheduler:
    """The learning rate times `gamma` after every `step_size` epochs; to be stepped once an epoch."""
    return StepLR(optimizer, step_size=config.step_size, gamma=config.gamma)
