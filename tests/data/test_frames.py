"""What a model sees has the pixels of its weights' own transforms: torchvision's presets and timm's, all of them."""

from __future__ import annotations

from collections.abc import Callable
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


def seen(picture: Image.Image, spec: ImageSpec) -> Tensor:
    """A picture as a batch of training has it: (C, H, W)."""
    images = cache.Images(frame(picture, spec)[None], np.array([0]), ("a",), ("x",), "whole")
    return Data(images, spec, "cpu").batch(torch.tensor([0]), torch.contiguous_format)[0][0]


def differing(spec: ImageSpec, theirs: Callable[[Image.Image], Tensor], pictures: list[Image.Image]) -> list[str]:
    """The sizes at which our pixels are not theirs."""
    return [
        f"{picture.size} {spec}"
        for picture in pictures
        if (expected := theirs(picture)).shape != (ours := seen(picture, spec)).shape
        or not torch.allclose(ours, expected, atol=1e-5)
    ]


def test_every_classifier_of_torchvision_sees_what_its_preset_makes(pictures: list[Image.Image]) -> None:
    wrong: list[str] = []
    kinds: dict[ImageSpec, Any] = {}
    for model in torchvision.models.list_models(module=torchvision.models):
        preset: Any = torchvision.models.get_model_weights(model)
        spec = image_spec(model)
        assert spec is not None
        kinds[spec] = preset.DEFAULT.transforms()
    for spec, theirs in kinds.items():
        wrong += differing(spec, theirs, pictures)
    assert not wrong
    assert {spec.interpolation for spec in kinds} == {"bilinear", "bicubic"}
    assert len(kinds) > 20


def test_every_weights_of_timm_see_what_its_transform_makes(pictures: list[Image.Image]) -> None:
    timm = pytest.importorskip("timm", reason="timm is an extra: this test did NOT run")
    wrong: list[str] = []
    kinds: dict[ImageSpec, Any] = {}
    for name in timm.list_pretrained():
        spec = image_spec(f"timm/{name}")
        assert spec is not None
        kinds.setdefault(spec, name)
    for spec, name in kinds.items():
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
