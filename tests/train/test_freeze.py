"""Frozen layers: nothing in them moves, everything else does."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from search.config import TrainConfig
from search.errors import SearchError
from search.models import build
from search.train.freeze import batch_norm, freeze, steps, train_mode
from search.train.optimizers import make_optimizer

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = TrainConfig(model="resnet18", dataset="digits", epochs=1, lr=0.1, weight_decay=0.01, step_size=1, gamma=0.5)


def stepped(model: nn.Module, frozen: tuple[str, ...]) -> torch.optim.Optimizer:
    """Two real optimizer steps on noise: the second one has momentum to apply."""
    freeze(model, frozen)
    optimizer = make_optimizer(model, CONFIG)
    for _ in range(2):
        train_mode(model, frozen)
        optimizer.zero_grad()
        F.cross_entropy(model(torch.randn(4, 3, 32, 32)), torch.arange(4)).backward()
        optimizer.step()
    return optimizer


@pytest.mark.parametrize(
    "frozen", [(), ("conv1", "bn1", "layer1"), ("layer4.0",), ("fc",), ("layer2.0.bn1.weight", "layer3")]
)
def test_exactly_the_frozen_parameters_stay(frozen: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    model = build("resnet18", 5)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = stepped(model, frozen)
    trained = {parameter for group in optimizer.param_groups for parameter in group["params"]}
    for name, parameter in model.named_parameters():
        held = any(name == prefix or name.startswith(prefix + ".") for prefix in frozen)
        assert torch.equal(parameter, before[name]) == held, name
        assert (parameter.grad is None) == held, name
        assert (parameter in optimizer.state) == (parameter in trained) == (not held), name


def test_frozen_batch_norm_keeps_its_statistics() -> None:
    torch.manual_seed(0)
    model = build("resnet18", 5)
    before = {name: value.clone() for name, value in model.named_buffers()}
    assert "layer1.0.bn1.running_mean" in before
    stepped(model, ("bn1", "layer1"))
    for name, value in model.named_buffers():  # num_batches_tracked counts too
        assert torch.equal(value, before[name]) == name.startswith(("bn1.", "layer1.")), name
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.training != name.startswith(("bn1", "layer1.")), name
    assert model.training


def test_frozen_blocks_are_not_skipped_at_random_and_frozen_dropout_still_drops() -> None:
    model = build("efficientnet_b0", 5)
    freeze(model, ("features",))
    train_mode(model, ("features",))
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(model.get_submodule("features")(x), model.get_submodule("features")(x))
    model = build("alexnet", 5)
    freeze(model, ("classifier",))
    train_mode(model, ("classifier",))
    assert [m.training for m in model.modules() if isinstance(m, nn.Dropout)] == [True, True]
    assert not model.get_submodule("classifier.1").training


def test_a_prefix_ends_where_a_name_ends() -> None:
    model = nn.ModuleDict({"layer1": nn.Linear(1, 1), "layer10": nn.Linear(1, 1)})
    freeze(model, ["layer1"])
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == {
        "layer1.weight": False,
        "layer1.bias": False,
        "layer10.weight": True,
        "layer10.bias": True,
    }


def test_freezing_again_thaws_the_rest() -> None:
    model = build("cnn", 10)
    freeze(model, ["0"])
    freeze(model, ["2"])
    assert [name for name, parameter in model.named_parameters() if not parameter.requires_grad] == [
        "2.weight",
        "2.bias",
    ]


@pytest.mark.parametrize(
    ("frozen", "says"),
    [
        ("feature", r"frozen='feature' matches no parameter of the model; did you mean 'features'\?"),
        ("layer4.9", r"'layer4\.9' matches no parameter of the model"),
        ("xyzzy", "the model has classifier, features"),
        ("avgpool", "matches no parameter"),  # a module, but it has none
        ("", "matches no parameter"),
    ],
)
def test_a_prefix_that_matches_nothing(frozen: str, says: str) -> None:
    with torch.device("meta"):  # no value matters
        model = build("alexnet", 5)
    with pytest.raises(SearchError, match=says):
        freeze(model, ["features", frozen])


def test_everything_frozen_is_an_error() -> None:
    with pytest.raises(SearchError, match="freezes the whole model; nothing is left to train"):
        freeze(build("cnn", 10), ["0", "1", "2"])


def test_a_last_batch_of_one_image_joins_the_batch_before_where_there_is_batch_normalisation() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))
    norm = batch_norm(net, ())
    assert norm == "2"
    assert batch_norm(net, ("2",)) == ""
    assert (steps(65, 16, norm), steps(65, 16, ""), steps(66, 16, norm), steps(64, 16, norm)) == (4, 5, 5, 4)
    assert steps(5, 1, "") == 5
    for images, size, what in ((5, 1, "batch_size=1"), (1, 4, "one training image")):
        with pytest.raises(SearchError, match=rf"^{what}: the batch normalisation '2' compares the images of a step"):
            steps(images, size, norm)
