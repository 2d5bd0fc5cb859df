"""The multi-layer perceptron: its layers and widths."""

from __future__ import annotations

import torch
from torch import nn

from search import models


def kinds(net: nn.Module) -> list[str]:
    return [type(module).__name__ for module in net.children()]


def test_mlp_drops_out_after_the_relu_and_narrows_where_it_is_told() -> None:
    net = models.build("mlp", 10, 3, side=32, hidden=(512, 64, 512))
    assert kinds(net) == ["Flatten", *["Linear", "ReLU", "Dropout"] * 3, "Linear"]
    linear = [module for module in net.modules() if isinstance(module, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(3 * 32 * 32, 512), (512, 64), (64, 512), (512, 10)]
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert kinds(models.build("mlp", 10, 1, side=8, hidden=())) == ["Flatten", "Linear"]
