"""Every model by its name: built, headed, and refused in one line."""

from __future__ import annotations

import pytest
import torch

from search import models
from search.errors import SearchError

SAMPLE = [
    "cnn", "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t",
    "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "resnet18", "resnext50_32x4d", "shufflenet_v2_x0_5",
    "squeezenet1_0", "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_16", "vit_h_14", "wide_resnet50_2",
    "mlp", "efficientnet_lite0", "efficientnet_lite0_first5",
]  # fmt: skip


@pytest.mark.parametrize("name", SAMPLE)
def test_a_model_takes_its_images_and_has_a_head_of_the_right_width(name: str) -> None:
    spec = models.image_spec(name)
    size = spec.crop if spec else (8, 8)
    with torch.device("meta"):  # shapes alone, so that the largest takes no time
        out = models.build(name, 7, side=size).eval()(torch.empty(2, 3, *size))
    assert out.shape == (2, 7)


def test_a_regnet_has_a_head_of_the_right_width() -> None:
    # It reads the widths that it computes, so that it cannot be built on the meta device.
    assert models.build("regnet_y_400mf", 7).eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 7)


def test_every_classifier_of_torchvision_is_a_name() -> None:
    assert len(models.names()) >= 80
    assert set(SAMPLE) <= set(models.names())
    assert not {name for name in models.names() if "rcnn" in name or "raft" in name or "quantized" in name}


def test_what_a_model_wants_to_see() -> None:
    assert models.image_spec("cnn") is None
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert models.image_spec("alexnet") == ((256, 256), (224, 224), *imagenet, "bilinear", "center", "RGB")
    assert models.image_spec("inception_v3") == ((342, 342), (299, 299), *imagenet, "bilinear", "center", "RGB")


def test_the_global_generator_decides_the_initial_values() -> None:
    def first(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return next(models.build("cnn", 10).parameters())

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))


def test_no_file_no_model_and_no_pretrained_weights() -> None:
    with pytest.raises(SearchError, match=r"weights='none.pth': no such file; DEFAULT, or a path to"):
        models.build("alexnet", 10, weights="none.pth")
    with pytest.raises(SearchError, match=r"has no pretrained weights; set=\{'weights': 'scratch'\} goes without"):
        models.build("cnn", 10, weights="DEFAULT")
    with pytest.raises(SearchError, match=r"unknown model 'alexnett'; did you mean 'alexnet'\?"):
        models.build("alexnett", 10)
    with pytest.raises(SearchError, match=r"unknown model 'qqqq'; known are alexnet, cnn, convnext_base"):
        models.check_name("qqqq")
