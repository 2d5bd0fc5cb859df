"""Dropout: its probability, and one half on a CPU, whose random numbers cost torch a tenth of an AlexNet epoch."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from search.config import TrainConfig
from search.errors import SearchError


def set_dropout(model: nn.Module, config: TrainConfig) -> None:
    """Give every dropout layer of `model` the config's probability of zeroing a value, if it names one.

    Raises SearchError if the model has none: a search over a setting that does nothing would mislead.
    """
    if config.dropout is None:
        return
    layers = [module for module in model.modules() if isinstance(module, _DropoutNd)]
    if not layers:
        raise SearchError(f"dropout={config.dropout}: {config.model} has no dropout layer; leave the setting out")
    for layer in layers:
        layer.p = config.dropout


class CoinDropout(nn.Dropout):
    """`nn.Dropout` that draws one random bit a value where p is 0.5 and the tensor is a CPU's; torch draws 32."""

    def forward(self, input: Tensor) -> Tensor:
        """Zero each value of a tensor of any shape with probability p, and scale the others by 1 / (1 - p)."""
        if self.p != 0.5 or self.inplace or not self.training or input.device.type != "cpu":
            return super().forward(input)
        count = input.numel()
        bits = torch.empty(math.ceil(count / 64), dtype=torch.int64).random_(-(2**63), None).view(torch.uint8)
        return input * _masks(input.dtype).index_select(0, bits.int()).view(-1)[:count].view(input.shape)


@cache
def _masks(dtype: torch.dtype) -> Tensor:
    """(256, 8): for each byte the factors, 0 or 2, that its bits stand for."""
    bits = torch.arange(256).unsqueeze(1).bitwise_right_shift(torch.arange(8)).bitwise_and(1)
    return (2 * bits).to(dtype)


def toss_coins(model: nn.Module) -> None:
    """Make every plain `nn.Dropout` of `model` a `CoinDropout`, in place."""
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = CoinDropout
