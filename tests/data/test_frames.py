"""What a model sees has the pixels of its weights' own transforms: torchvision's presets and timm's, all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
import torch
import torchvision.models
from PIL import Image
from torch import Tensor

from search.data import cache
from search.data.frames import frame
from search.models import ImageSpec, image_spec
from search.train.batches import Data

CHINA = Path(sklearn.datasets.__file__).parent / "images" / "china.jpg"
"""A photograph of 640 x 427 px, which scikit-learn carries."""
SIZES = ((640, 427), (401, 640), (402, 300), (333, 333), (60, 47))
"""Lying, standing, with sides that round up and down, square, and smaller than any model's images."""


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    with Image.open(CHINA) as whole:
        return [whole.crop((0, 0, *size)) if size[1] <= whole.height else whole.resize(size) for size in SIZES]


@pytest.fixture(autouse=True)
def resized_once(pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides resize with Pillow, and many weights want the same size: an equal call on a picture is made once."""
    resize = Image.Image.resize

    @lru_cache(maxsize=32)
    def kept(number: int, *how: Any) -> Image.Image:
        return resize(pictures[number], *how)

    def once(self: Image.Image, size: Any, resample: Any = None, box: Any = None, gap: Any = None) -> Image.Image:
        how = (tuple(size), resample, box, gap)
        for number, picture in enumerate(pictures):
            if picture is self:
                return kept(number, *how)
        return resize(self, *how)

    monkeypatch.setattr(Image.Image, "resize", once)


def seen(picture: Image.Image, spec: ImageSpec) -> Tensor:
    """A picture as a batch of training has it: (C, H, W)."""
    images = cache.Images(frame(picture, spec)[None], np.array([0]), ("a",), ("x",), "whole")
    return Data(images, spec, "cpu").batch(torch.tensor([0]), torch.contiguous_format)[0][0]


def differing(spec: ImageSpec, theirs: Callable[[Image.Image], Tensor], pictures: list[Image.Image]) -> list[str]:
    """The sizes at which our pixels are not theirs, but for rounding."""
    rounding = 2e-6 / min(spec.std)
    return [
        f"{picture.size} {spec}"
        for picture in pictures
        if (expected := theirs(picture)).shape != (ours := seen(picture, spec)).shape
        or not (ours - expected).abs_().max() <= rounding  # a quarter of allclose's time, and NaN differs
    ]


def test_all_weights_of_torchvision_see_what_their_preset_makes(pictures: list[Image.Image]) -> None:
    wrong: list[str] = []
    kinds: dict[ImageSpec, Any] = {}
    for model in torchvision.models.list_models(module=torchvision.models):
        assert image_spec(model) is not None
        for weights in torchvision.models.get_model_weights(model):
            spec = image_spec(model, None, weights.name)
            assert spec is not None
            kinds[spec] = (model, weights.transforms())
    for spec, (model, preset) in sorted(kinds.items(), key=lambda kind: kind[0].pixels):
        wrong += differing(
            spec, transform_input(preset) if model in ("googlenet", "inception_v3") else preset, pictures
        )
    assert not wrong
    assert {spec.interpolation for spec in kinds} == {"bilinear", "bicubic"}
    assert len(kinds) > 25


def transform_input(preset: Any) -> Callable[[Image.Image], Tensor]:
    """The preset of GoogLeNet and Inception v3, and what torchvision's own models with weights then make of it."""
    net: Any = torchvision.models.googlenet(
        weights=None, transform_input=True, aux_logits=False, init_weights=False, num_classes=2
    )

    def seen_by_the_first_layer(picture: Image.Image) -> Tensor:
        changed: Tensor = net._transform_input(preset(picture)[None])[0]
        return changed

    return seen_by_the_first_layer


def test_weights_by_another_name_or_file_are_seen_as_they_were_made(tmp_path: Path) -> None:
    v1, v2 = image_spec("resnet50", None, "IMAGENET1K_V1"), image_spec("resnet50")
    assert v1 is not None
    assert v2 is not None
    assert (v1.resize, v2.resize) == ((256, 256), (232, 232))
    (tmp_path / "resnet50-0676ba61.pth").touch()
    assert image_spec("resnet50", None, str(tmp_path / "resnet50-0676ba61.pth")) == v1
    swag = image_spec("vit_b_16", None, "IMAGENET1K_SWAG_E2E_V1")
    assert swag is not None
    assert (swag.crop, swag.interpolation) == ((384, 384), "bicubic")
    scratch, trained = image_spec("googlenet"), image_spec("googlenet", None, "DEFAULT")
    assert scratch is not None
    assert trained is not None
    assert (scratch.mean, trained.mean) == ((0.485, 0.456, 0.406), (0.5, 0.5, 0.5))


@pytest.mark.whole
def test_every_weights_of_timm_see_what_its_transform_makes(pictures: list[Image.Image]) -> None:
    timm = import_module("timm")
    wrong: list[str] = []
    kinds: dict[ImageSpec, Any] = {}
    for name in timm.list_pretrained():
        spec = image_spec(f"timm/{name}")
        assert spec is not None
        kinds.setdefault(spec, name)
    for spec, name in sorted(kinds.items(), key=lambda kind: kind[0].pixels):
        config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
        wrong += [f"{name} {text}" for text in differing(spec, timm.data.create_transform(**config), pictures)]
    assert not wrong
    assert {spec.fit for spec in kinds} == {"center", "squash", "border"}
    assert any(spec.crop[0] != spec.crop[1] for spec in kinds)
    assert any(spec.crop > spec.resize for spec in kinds)  # Volo's, with a black border


def test_what_is_kept_leaves_room_for_random_crops(pictures: list[Image.Image]) -> None:
    spec = ImageSpec((100, 80), (70, 60), (0.5,) * 3, (0.5,) * 3)
    assert frame(pictures[0], spec).shape == (100, 80, 3)
    grey = spec._replace(channels="L", mean=(0.5,), std=(0.5,))
    assert frame(pictures[0].convert("L"), grey).shape == (100, 80, 1)
    assert frame(pictures[0], spec._replace(crop=(120, 60))).shape == (120, 80, 3)
