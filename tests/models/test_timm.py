"""timm's models, where the extra is installed."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from conftest import save_weights

from search import models
from search.errors import SearchError
from search.models.weights import Loaded


@pytest.mark.parametrize("model", ["efficientnet_lite0", "timm/resnet18"])
def test_a_missing_extra_is_named(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    extra = "timm" if model.startswith("timm") else "lite"
    with pytest.raises(SearchError, match=rf"is not installed; .* pip install -e '\.\[{extra}\]'"):
        models.build(model, 10)


def test_timm_says_what_its_models_want_and_gives_them_a_head() -> None:
    assert models.image_spec("timm/resnet18.tv_in1k") == models.image_spec("resnet18")
    spec = models.image_spec("timm/tf_efficientnet_lite0.in1k")
    assert spec is not None
    assert (spec.resize, spec.crop, spec.mean) == ((256, 256), (224, 224), (0.5, 0.5, 0.5))
    assert models.build("timm/resnet18", 7).eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 7)
    with pytest.raises(SearchError, match=r"unknown model 'timm/resnet81'; did you mean 'timm/resnet"):
        models.check_name("timm/resnet81")
    with pytest.raises(SearchError, match=r"'timm/resnet18\.nonsense' cannot be used: Invalid pretrained tag"):
        models.check_name("timm/resnet18.nonsense")


def test_timm_reads_a_file_and_offline_says_so(tmp_path: Path, offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = models.build("timm/resnet18", 5)
    net = models.build("timm/resnet18", 7, weights=save_weights(source, tmp_path / "w.safetensors"))
    assert torch.equal(net.state_dict()["conv1.weight"], source.state_dict()["conv1.weight"])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # else it tries again for a minute
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(SearchError, match=r"the weights of timm/resnet18 cannot be had .*set=\{'weights': 'scratch'\}"):
        models.build("timm/resnet18", 7, weights="DEFAULT")


def test_timm_builds_for_another_size_and_resamples_what_depends_on_it(tmp_path: Path) -> None:
    timm = import_module("timm")
    source = models.build("timm/vit_tiny_patch16_224", 5)
    file, heard = save_weights(source, tmp_path / "w.pth"), list[Loaded]()
    net = models.build("timm/vit_tiny_patch16_224", 5, side=160, weights=file, read=heard.append)
    expected = timm.layers.resample_abs_pos_embed(source.state_dict()["pos_embed"], (10, 10), num_prefix_tokens=1)
    assert torch.allclose(net.state_dict()["pos_embed"], expected, atol=1e-6)
    assert heard[0].said.endswith("; timm brought pos_embed to the size of the images")
    assert net.eval()(torch.zeros(1, 3, 160, 160)).shape == (1, 5)
    assert models.build("timm/resnet18", 5, side=160).eval()(torch.zeros(1, 3, 160, 160)).shape == (1, 5)
    with torch.device("meta"):
        tall = models.build("timm/vit_base_patch16_sapiens2", 5).eval()
        assert tall(torch.empty(1, 3, 1024, 768)).shape == (1, 5)
