"""The optimizers against their formulas."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from search.config import TrainConfig
from search.entry_points import SCHEDULES
from search.models import build
from search.train.freeze import freeze
from search.train.optimizers import make_optimizer
from search.train.schedules import Schedule


def config(**changed: Any) -> TrainConfig:
    base = dict(model="cnn", dataset="digits", epochs=9, lr=0.1, step_size=3, gamma=0.5)
    return TrainConfig(**{**base, **changed})


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


def test_layer_wise_rates_group_by_group() -> None:
    """AlexNet from the head down: lr / 2.6 ** depth, every parameter once, and every schedule keeps the ratios."""
    with torch.device("meta"):
        model = build("alexnet", 10)
    layers = ["features.0", "features.3", "features.6", "features.8", "features.10"]
    layers += ["classifier.1", "classifier.4", "classifier.6"]
    for schedule in SCHEDULES:
        made = config(lr=0.1, layer_decay=2.6, schedule=schedule, warmup_epochs=2.0, decay_norms_and_biases=False)
        optimizer = make_optimizer(model, made)
        first = optimizer.param_groups[-1]["lr"]
        assert first == 0.1
        schedules = Schedule(optimizer, made, 2)
        for _ in range(5):
            top = optimizer.param_groups[-1]["lr"]
            rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
            assert len(rate) == sum(len(group["params"]) for group in optimizer.param_groups) == 16
            for depth, layer in enumerate(reversed(layers)):
                for parameter in model.get_submodule(layer).parameters():
                    assert rate[id(parameter)] == pytest.approx(top / 2.6**depth)
            optimizer.step()
            schedules.after_step()


def test_layer_decay_counts_from_the_top_that_trains() -> None:
    model = build("cnn", 10)
    freeze(model, ["2"])
    groups = make_optimizer(model, config(lr=0.1, layer_decay=2.0)).param_groups
    assert [group["lr"] for group in groups] == [0.05, 0.1]
    for group, layer in zip(groups, ("0.0", "1.0"), strict=True):
        assert group["params"][0] is model.get_submodule(layer).weight


@pytest.mark.parametrize("layer_decay", [1.0, 2.6])
def test_no_decay_on_norms_and_biases(layer_decay: float) -> None:
    """With a gradient of zero a step of SGD is the weight decay alone: what has none does not move."""
    torch.manual_seed(0)
    model = build("resnet18", 5)
    for parameter in model.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    made = config(weight_decay=0.5, decay_norms_and_biases=False, layer_decay=layer_decay)
    make_optimizer(model, made).step()
    weights = {f"{n}.weight" for n, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    for name, parameter in model.named_parameters():
        assert bool((parameter != 1).all()) == (name in weights), name


@given(
    lr=st.floats(1e-4, 1e-1),
    weight_decay=st.floats(0, 0.1),
    gradients=st.lists(st.floats(-10, 10), min_size=1, max_size=5),
    decoupled=st.booleans(),
)
@settings(deadline=None)
def test_adam_by_hand(lr: float, weight_decay: float, gradients: list[float], decoupled: bool) -> None:
    """Kingma and Ba 2015, algorithm 1, with the decay in the gradient (adam), or Loshchilov and Hutter 2019 (adamw)."""
    model = nn.Linear(1, 1, bias=False).double()
    made = config(optimizer="adamw" if decoupled else "adam", lr=lr, weight_decay=weight_decay)
    optimizer = make_optimizer(model, made)
    w, m, v = model.weight.item(), 0.0, 0.0
    for t, gradient in enumerate(gradients, 1):
        model.weight.grad = torch.full_like(model.weight, gradient)
        optimizer.step()
        g = gradient if decoupled else gradient + weight_decay * w
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w -= lr * weight_decay * w if decoupled else 0
        w -= lr * (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
        assert model.weight.item() == pytest.approx(w, rel=1e-7, abs=1e-9)


def test_nesterov_by_hand() -> None:
    """v <- momentum v + g, w <- w - lr (g + momentum v); without momentum it is plain SGD."""
    for momentum in (0.9, 0.0):
        model = nn.Linear(1, 1, bias=False).double()
        optimizer = make_optimizer(model, config(lr=0.1, momentum=momentum, nesterov=True))
        w, v = model.weight.item(), 0.0
        for gradient in (1.0, -2.0, 0.5):
            model.weight.grad = torch.full_like(model.weight, gradient)
            optimizer.step()
            v = momentum * v + gradient
            w -= 0.1 * (gradient + momentum * v)
            assert model.weight.item() == pytest.approx(w)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_fused(optimizer: str) -> None:
    assert make_optimizer(nn.Linear(1, 1), config(optimizer=optimizer)).defaults["fused"]
