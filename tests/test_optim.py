"""The optimizer and its schedule against their formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from search.config import TrainConfig
from search.train.optim import make_optimizer, make_schedule


def config(**changed: Any) -> TrainConfig:
    base = dict(model="cnn", dataset="digits", epochs=9, lr=0.1, step_size=3, gamma=0.5)
    return TrainConfig(**{**base, **changed})


@given(
    lr=st.floats(1e-6, 10),
    gamma=st.floats(1e-2, 1),
    step_size=st.integers(1, 12),
    epochs=st.integers(1, 40),
)
@settings(deadline=None)
def test_learning_rate_of_every_epoch(lr: float, gamma: float, step_size: int, epochs: int) -> None:
    made = config(lr=lr, gamma=gamma, step_size=step_size, epochs=epochs)
    optimizer = make_optimizer(nn.Linear(1, 1), made)
    schedule = make_schedule(optimizer, made)
    for epoch in range(1, epochs + 1):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(lr * gamma ** ((epoch - 1) // step_size), rel=1e-9)
        optimizer.step()
        schedule.step()


@given(
    lr=st.floats(1e-4, 1),
    momentum=st.floats(0, 0.99),
    weight_decay=st.floats(0, 0.1),
    gradients=st.lists(st.floats(-10, 10), min_size=1, max_size=5),
)
@settings(deadline=None)
def test_steps_by_hand(lr: float, momentum: float, weight_decay: float, gradients: list[float]) -> None:
    """v <- momentum v + (g + weight_decay w), w <- w - lr v, with v = g + weight_decay w in the first step."""
    model = nn.Linear(1, 1, bias=False).double()
    optimizer = make_optimizer(model, config(lr=lr, momentum=momentum, weight_decay=weight_decay))
    w, v = model.weight.item(), 0.0
    for gradient in gradients:
        model.weight.grad = torch.full_like(model.weight, gradient)
        optimizer.step()
        v = momentum * v + gradient + weight_decay * w
        w -= lr * v
        assert model.weight.item() == pytest.approx(w, rel=1e-9, abs=1e-9)


def test_only_what_trains_is_optimized() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    (group,) = make_optimizer(model, config()).param_groups
    assert list(map(id, group["params"])) == list(map(id, model[1].parameters()))
