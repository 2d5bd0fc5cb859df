"""Layer groups: every parameter in exactly one, in the order in which the layers stand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from search.errors import SearchError
from search.models import build
from search.train.freeze import freeze, layer_groups


def model(name: str) -> nn.Module:
    with torch.device("meta"):  # no value matters
        return build(name, 10)


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("cnn", [("0.0",), ("1.0",), ("2",)]),
        (
            "alexnet",
            [(f"features.{i}",) for i in (0, 3, 6, 8, 10)] + [(f"classifier.{i}",) for i in (1, 4, 6)],
        ),
        ("resnet18", [("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",), ("fc",)]),
        (
            "vit_b_16",
            [("class_token", "conv_proj", "encoder.pos_embedding")]
            + [(f"encoder.layers.encoder_layer_{i}",) for i in range(11)]
            + [("encoder.layers.encoder_layer_11", "encoder.ln"), ("heads.head",)],
        ),
    ],
)
def test_groups_of(name: str, groups: list[tuple[str, ...]]) -> None:
    assert layer_groups(model(name)) == groups


@pytest.mark.parametrize(
    "name",
    [
        *("cnn", "alexnet", "resnet50", "vit_b_16", "mobilenet_v3_small", "densenet121", "swin_t", "convnext_tiny"),
        *("squeezenet1_0", "vgg11_bn", "efficientnet_b0", "maxvit_t"),
        *("efficientnet_lite0", "efficientnet_lite0_first5", "efficientnet_lite0_first15"),
    ],
)
def test_every_parameter_is_in_one_group_and_the_head_is_on_top(name: str) -> None:
    made = model(name)
    names = [parameter for parameter, _ in made.named_parameters()]
    groups = layer_groups(made)
    for parameter in names:
        assert sum(parameter == p or parameter.startswith(f"{p}.") for g in groups for p in g) == 1, parameter
    assert len(groups) >= 3
    head = [n for n, module in made.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))][-1]
    assert any(head == prefix or head.startswith(f"{prefix}.") for prefix in groups[-1])


def test_what_is_frozen_is_in_none() -> None:
    made = model("alexnet")
    freeze(made, ["features", "classifier.6"])
    assert layer_groups(made) == [("classifier.1",), ("classifier.4",)]


def test_lite0_has_a_group_a_stage() -> None:
    groups = layer_groups(model("efficientnet_lite0"))
    assert [len(group) for group in groups] == [3, 2, 2, 3, 3, 4, 3, 1]
    assert groups[0] == ("features._conv_stem", "features._bn0", "features._blocks.0")
    assert groups[-2:] == [("features._blocks.15", "features._conv_head", "features._bn1"), ("classifier",)]
    assert len(layer_groups(model("efficientnet_lite0_first5"))) == 4


class Stated(nn.Module):
    """Two layers, whose groups it says itself."""

    def __init__(self, *groups: str | tuple[str, ...]) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(2, 2), nn.Linear(2, 2)
        self.layer_groups = list(groups)


def test_a_model_says_its_groups_itself() -> None:
    assert layer_groups(Stated("two", "one")) == [("two",), ("one",)]
    assert layer_groups(Stated(("one", "two"))) == [("one", "two")]


@pytest.mark.parametrize(("groups", "number"), [(("one",), "none"), (("one", ("two", "one")), "2")])
def test_groups_that_miss_or_repeat_a_parameter_are_refused(groups: tuple[str, ...], number: str) -> None:
    with pytest.raises(SearchError, match=rf"layer_groups of Stated: \w+.weight is in {number} of them"):
        layer_groups(Stated(*groups))


def test_a_single_layer_is_a_group() -> None:
    assert layer_groups(nn.Linear(2, 2)) == [("weight", "bias")]
