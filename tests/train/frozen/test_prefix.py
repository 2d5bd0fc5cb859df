"""Where a model is cut in two, and that the parts are the whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.models import build
from search.train.freeze import freeze, train_mode
from search.train.frozen.prefix import Cut, NoPrefix, cut

pytestmark = pytest.mark.usefixtures("one_thread", "thin_vits")
LOWER = ("features._conv_stem", "features._bn0", *(f"features._blocks.{number}" for number in range(4)))
BODY = ("conv_proj", "class_token", "encoder")


def ready(model: nn.Module, *frozen: str) -> nn.Module:
    freeze(model, frozen)
    train_mode(model, frozen)
    return model


def halves(model: nn.Module, *frozen: str, side: int = 64, channels: int = 3) -> Cut:
    return cut(ready(model, *frozen), torch.randn(1, channels, side, side))


def last(parts: Cut) -> str:
    """The last layer of the prefix."""
    return [str(node.target) for node in parts.prefix.graph.nodes if node.op == "call_module"][-1]


@pytest.mark.parametrize(
    ("name", "frozen", "layer"),
    [
        ("alexnet", ("features",), "avgpool"),  # a dropout that is active follows
        ("alexnet", ("features.0", "features.3"), "features.5"),
        ("resnet18", ("conv1", "bn1", "layer1"), "layer1.1.relu"),
        ("resnet18", ("conv1", "bn1", "layer1.0"), "layer1.0.relu"),
        ("mobilenet_v3_small", ("features",), "avgpool"),
        ("densenet121", ("features",), "features.norm5"),
        ("googlenet", ("conv1", "conv2", "conv3", "inception3a"), "inception3a.branch4.1.bn"),
        ("convnext_tiny", ("features",), "avgpool"),  # stochastic depth in it, which drops nothing while frozen
        ("vit_b_16", (), ""),
        ("cnn", ("0",), "0.2"),
        ("mlp", ("1",), "2"),
        ("efficientnet_lite0", ("features",), "features._avg_pooling"),
        ("efficientnet_lite0", LOWER, "features._blocks.3._bn2"),
        ("efficientnet_lite0_first5", ("features",), "features._avg_pooling"),
        ("efficientnet_lite0_first5", LOWER, "features._blocks.3._bn2"),
    ],
)
def test_the_prefix_ends_where_training_begins(name: str, frozen: tuple[str, ...], layer: str) -> None:
    torch.manual_seed(0)
    model, x = build(name, 5, side=64), torch.randn(3, 3, 64, 64)
    if not frozen:
        with pytest.raises(NoPrefix, match="its first layers train"):
            cut(ready(model), x[:1])
        return
    parts = halves(model, *frozen)
    assert last(parts) == layer
    assert not any(parameter.requires_grad for parameter in parts.prefix.parameters())
    trains = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    assert trains <= {id(parameter) for parameter in parts.rest.parameters()}
    model.eval()
    parts.rest.eval()
    with torch.no_grad():
        assert torch.equal(parts.rest(parts.prefix(x)), model(x))


def test_what_reads_the_images_again_is_the_reason() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            count = x.size(0)
            logits: Tensor = self.second(self.first(x).mean((2, 3))).view(count, -1)
            return logits

    with pytest.raises(NoPrefix, match="what came before its frozen layers is read after them"):
        halves(Twice(), "first")


def test_training_through_the_rest_is_training_the_model() -> None:
    """Gradients to the bit, with the dropout of the same random numbers."""
    torch.manual_seed(0)
    model = build("alexnet", 5)
    x, y = torch.randn(4, 3, 64, 64), torch.arange(4)
    parts = cut(ready(model, "features"), x[:1])
    whole = []
    for forward in (model, nn.Sequential(parts.prefix, parts.rest)):
        torch.manual_seed(1)
        model.zero_grad()
        F.cross_entropy(forward(x), y).backward()
        whole.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(whole[0]) == 6
    assert all(torch.equal(a, b) for a, b in zip(*whole, strict=True))


def test_cutting_leaves_modes_and_random_numbers_as_they_were() -> None:
    model = ready(build("resnet18", 5), "conv1", "bn1", "layer1")
    before = {name: module.training for name, module in model.named_modules()}
    state = torch.get_rng_state()
    statistics = {name: value.clone() for name, value in model.named_buffers()}
    parts = cut(model, torch.ones(1, 3, 64, 64))
    assert {name: module.training for name, module in model.named_modules()} == before
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, statistics[name]) for name, value in model.named_buffers())
    parts.rest.eval()
    assert not model.get_submodule("layer4.0.bn1").training  # the layers are the model's own


def test_dropout_that_drops_nothing_is_no_end() -> None:
    model = build("alexnet", 5)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    assert last(halves(model, "features", "classifier.1")) == "classifier.3"


def test_the_digest_tells_weights_and_ends_apart_and_is_computed_once() -> None:
    def cnn(seed: int, *frozen: str) -> Cut:
        torch.manual_seed(seed)
        return halves(build("cnn", 5), *frozen)

    parts = cnn(0, "0", "1")
    assert parts.digest is parts.digest
    assert parts.digest == cnn(0, "0", "1").digest
    others = {cnn(1, "0", "1").digest, cnn(0, "0").digest}
    assert len(others - {parts.digest}) == 2


class Own(nn.Module):
    """A body that forks, reads a parameter of its own, and misbehaves as it is told to."""

    def __init__(self, manner: str = "") -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(12, 6), nn.Linear(12, 6), nn.Linear(6, 5)
        self.scale = nn.Parameter(torch.ones(6))
        self.norm = nn.BatchNorm1d(6, affine=False)
        self.manner = manner

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        if self.manner == "branches" and x.sum() > 1e9:
            early: Tensor = self.head(self.a(x))
            return early
        h = (self.a(x) + self.b(x)) * self.scale
        if self.manner == "noise":
            h = h + torch.randn_like(h)
        if self.manner == "mean":
            h = h - h.mean(0)
        if self.manner == "norm":
            h = self.norm(h)
        h = F.dropout(h, 0.5, self.training)
        logits: Tensor = self.head(h * self.scale)
        return logits


def test_a_model_of_ones_own() -> None:
    torch.manual_seed(0)
    model = Own()
    x = torch.randn(1, 3, 2, 2)
    parts = halves(model, "a", "b", "scale", side=2)
    assert "dropout" not in parts.prefix.code
    model.eval()
    parts.rest.eval()
    assert torch.equal(parts.rest(parts.prefix(x)), model(x))
    ready(model, "a", "b", "scale")
    parts.rest.train()
    with torch.random.fork_rng():
        assert not torch.equal(parts.rest(parts.prefix(x)), parts.rest(parts.prefix(x)))  # it drops in training


@pytest.mark.parametrize(
    ("manner", "frozen", "why"),
    [
        ("branches", ("a", "b", "scale"), r"torch.fx cannot follow its forward \(TraceError\)"),
        ("", ("b", "scale"), "its first layers train"),
    ],
)
def test_no_prefix_and_why(manner: str, frozen: tuple[str, ...], why: str) -> None:
    with pytest.raises(NoPrefix, match=why):
        halves(Own(manner), *frozen, side=2)


@pytest.mark.parametrize("manner", ["noise", "norm"])
def test_what_varies_is_left_to_the_rest(manner: str) -> None:
    parts = halves(Own(manner), "a", "b", "scale", side=2)
    assert "randn_like" not in parts.prefix.code
    assert "norm" not in dict(parts.prefix.named_modules())


def test_activations_that_depend_on_the_batch_are_seen() -> None:
    with pytest.raises(NoPrefix, match="depends on the other images"):
        halves(Own("mean"), "a", "b", "scale", side=2)
