"""Every classifier of torchvision, and forty families of timm, are built and fed one batch, free and frozen."""

from __future__ import annotations

import gc
import math
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
import torch
import torchvision.models
from cases import config
from PIL import Image

from search.data import cache
from search.data.frames import frame
from search.models import image_spec
from search.train.batches import Data
from search.train.device import resolve_runtime
from search.train.freeze import layer_groups
from search.train.frozen.prefix import NoPrefix
from search.train.learner import Learner

FEW = ("alexnet", "googlenet", "mobilenet_v3_small", "regnet_y_400mf", "vit_b_32")
"""What the default suite takes."""
TORCHVISION = torchvision.models.list_models(module=torchvision.models)
TIMM = [
    "beit_base_patch16_224", "botnet26t_256", "cait_xxs24_224", "caformer_s18",
    "coat_tiny", "coatnet_0_rw_224", "convit_tiny", "convmixer_768_32",
    "convnext_atto", "convnextv2_atto", "crossvit_tiny_240", "cspresnet50",
    "davit_tiny", "deit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "densenet121",
    "dla34", "edgenext_small", "efficientformer_l1", "efficientnet_b0",
    "eva02_tiny_patch14_224", "fastvit_t8", "ghostnet_100", "hgnet_tiny",
    "hrnet_w18_small", "inception_resnet_v2", "levit_128s", "maxvit_tiny_tf_224",
    "mixer_s16_224", "mobilenetv4_conv_small", "mvitv2_tiny", "nfnet_l0",
    "poolformer_s12", "pvt_v2_b0", "regnetz_b16", "repvgg_a0",
    "res2net50_26w_4s", "resnetv2_50", "rexnet_100", "seresnet50",
    "swin_tiny_patch4_window7_224", "tiny_vit_5m_224", "twins_pcpvt_small", "vgg11",
    "visformer_tiny", "vit_tiny_patch16_224", "volo_d1_224", "xcit_nano_12_p16_224",
    "xception41",
]  # fmt: skip
_OTHERWISE = "its frozen layers run otherwise in training than in evaluation"
_FOLLOW = "torch.fx cannot follow its forward (TraceError)"
UNCUT = {
    "maxvit_t": _OTHERWISE,
    "timm/beit_base_patch16_224": _OTHERWISE,
    "timm/convit_tiny": _FOLLOW,
    "timm/crossvit_tiny_240": _FOLLOW,
    "timm/eva02_tiny_patch14_224": _OTHERWISE,
    "timm/maxvit_tiny_tf_224": _FOLLOW,
    "timm/mvitv2_tiny": _FOLLOW,
    "timm/resnetv2_50": "what its frozen layers make of an image depends on the other images of the batch",
    "timm/swin_tiny_patch4_window7_224": _OTHERWISE,
    "timm/tiny_vit_5m_224": _FOLLOW,
    "timm/vgg11": _FOLLOW,
    "timm/xcit_nano_12_p16_224": "its first layers train",
}
"""What computes its frozen layers anew in every epoch, and why; it is trained all the same."""


def seen(model: str, weights: str | None = None) -> Data:
    """Two views of a photograph that scikit-learn carries, as `model` sees them."""
    spec = image_spec(model, None, weights)
    assert spec is not None
    with Image.open(Path(sklearn.datasets.__file__).parent / "images" / "china.jpg") as picture:
        pixels = np.stack([frame(picture, spec), frame(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), spec)])
    images = cache.Images(pixels, np.array([0, 1]), ("a", "b", "c"), ("x", "y"), f"two/{hash((model, weights))}")
    return Data(images, spec, "cpu")


def feed(model: str) -> str:
    """Train a step free, and one with all but the last layer group frozen; why the frozen layers are not cut off."""
    data, runtime = seen(model), resolve_runtime("fp32", "cpu", 1)
    made = config(model=model, batch_size=2, lr=1e-3, momentum=0.0)
    learner = Learner(made, data, runtime)
    learner.begin(1)
    assert math.isfinite(learner.step(torch.arange(2)).item())
    frozen = tuple(name for group in layer_groups(learner.model)[:-1] for name in group)
    del learner
    gc.collect()
    learner = Learner(made.model_copy(update={"frozen": frozen}), data, runtime)
    said = ""
    try:
        learner.cache_prefix(data)
    except NoPrefix as error:
        said = str(error)
    learner.begin(1)
    assert math.isfinite(learner.step(torch.arange(2)).item())
    return said


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.timeout(1200)  # vit_h_14 takes six minutes on a busy core
@pytest.mark.usefixtures("torch_threads")
@pytest.mark.parametrize("model", [m if m in FEW else pytest.param(m, marks=pytest.mark.slow) for m in TORCHVISION])
def test_a_classifier_of_torchvision_takes_a_batch_free_and_frozen(model: str, request: pytest.FixtureRequest) -> None:
    if model in FEW:
        request.getfixturevalue("thin_vits")  # the slow ones have every layer
    assert feed(model) == UNCUT.get(model, "")


@pytest.mark.slow
@pytest.mark.usefixtures("torch_threads")
@pytest.mark.parametrize("name", TIMM)
def test_a_family_of_timm_takes_a_batch_free_and_frozen(name: str) -> None:
    assert feed(f"timm/{name}") == UNCUT.get(f"timm/{name}", "")


def test_forty_families_of_timm() -> None:
    assert len(set(TIMM)) == len(TIMM) >= 40
