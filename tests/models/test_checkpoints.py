"""Weights as people save them: wrapped, with prefixes, averaged; and what is no weights of this model."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import save_weights
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.models.vision_transformer import interpolate_embeddings

from search import models
from search.errors import SearchError
from search.models.weights import Loaded

pytestmark = pytest.mark.usefixtures("thin_vits")
State = dict[str, Any]


def other(state: State) -> State:
    """Weights that are not wanted."""
    return {name: torch.zeros_like(value) for name, value in state.items()}


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


WRAPPED: dict[str, tuple[Callable[[State], Any], str]] = {
    "plain": (lambda s: s, ""),
    "DataParallel": (lambda s: prefixed(s, "module."), ", without the prefix 'module.'"),
    "torch.compile": (lambda s: prefixed(s, "_orig_mod."), ", without the prefix '_orig_mod.'"),
    "both": (lambda s: prefixed(s, "module._orig_mod."), ", without the prefix 'module._orig_mod.'"),
    "a trainer": (
        lambda s: {"epoch": 3, "state_dict": s, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "groups": []}},
        ", its 'state_dict'",
    ),
    "Lightning": (
        lambda s: {"state_dict": prefixed(s, "model."), "epoch": 1},
        ", its 'state_dict', without the prefix 'model.'",
    ),
    "torchvision's script": (
        lambda s: {"model": other(s), "model_ema": {"n_averaged": torch.tensor(3), **prefixed(s, "module.")}},
        ", its 'model_ema', without the prefix 'module.'",
    ),
    "timm's script": (
        lambda s: {"state_dict": other(s), "state_dict_ema": s, "args": argparse.Namespace(lr=0.1), "metric": 0.5},
        ", its 'state_dict_ema'",
    ),
    "numbers of NumPy": (lambda s: {"model": s, "best": np.float64(0.5)}, ", its 'model'"),
    "a dict of its own": (lambda s: {"backbone": {"weights": s}, "note": "x"}, ", its 'backbone.weights'"),
}


@pytest.mark.parametrize("form", WRAPPED)
def test_every_wrapper_is_taken_off_and_said(tmp_path: Path, form: str) -> None:
    torch.manual_seed(1)
    source = models.build("cnn", 5).state_dict()
    wrap, said = WRAPPED[form]
    torch.save(wrap(source), tmp_path / "w.pth")
    heard: list[Loaded] = []
    net = models.build("cnn", 5, weights=str(tmp_path / "w.pth"), read=heard.append).state_dict()
    assert all(torch.equal(value, source[name]) for name, value in net.items())
    assert [read.said for read in heard] == [f"{tmp_path}/w.pth: 6 of 6 tensors{said}"]


def test_an_average_of_torchs_own_is_read_with_the_version_of_its_modules(tmp_path: Path) -> None:
    source = models.build("mnasnet0_5", 5)  # which reads its version in the metadata of a state dict
    averaged = AveragedModel(source, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    torch.save(averaged.state_dict(), tmp_path / "w.pth")
    net = models.build("mnasnet0_5", 7, weights=str(tmp_path / "w.pth")).state_dict()
    assert torch.equal(net["layers.0.weight"], source.state_dict()["layers.0.weight"])


def test_what_is_new_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    heard: list[Loaded] = []
    file = save_weights(models.build("googlenet", 5), tmp_path / "w.pth")
    models.build("googlenet", 7, weights=file, read=heard.append)
    assert heard.pop().said.endswith("tensors; fc is new: the file has one of 5 classes")
    state = models.build("resnet18", 5).state_dict()
    torch.save({name: value for name, value in state.items() if not name.startswith("fc.")}, tmp_path / "b.pth")
    models.build("resnet18", 7, weights=str(tmp_path / "b.pth"), read=heard.append)
    assert heard.pop().said.endswith("120 of 122 tensors; fc is new: the file has none")
    deeper = {**state, "fc.1.weight": torch.zeros(5, 512), "fc.1.bias": torch.zeros(5)}
    del deeper["fc.weight"], deeper["fc.bias"]
    torch.save(deeper, tmp_path / "d.pth")
    models.build("resnet18", 7, weights=str(tmp_path / "d.pth"), read=heard.append)
    assert "120 of 122 tensors; fc is new: the file has one of 5 classes" in heard.pop().said


def edit(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[State], State]:
    return lambda state: {**state, name: change(state[name])}


@pytest.mark.parametrize(
    ("model", "change", "message"),
    [
        # The class count is the same, so that a loader that forgives one layer takes all of these.
        ("cnn", edit("0.0.weight", lambda w: w[:, :1]), "'0.0.weight' has the shape (32, 1, 3, 3) there and (32, 3, "),
        (
            "swin_t",
            edit("features.0.0.weight", lambda w: w.repeat(2, 1, 1, 1)),
            "'features.0.0.weight' has the shape (192, 3, 4, 4) there and (96, 3, 4, 4) here; only the last layer may",
        ),
        (
            "vit_b_16",
            edit("encoder.pos_embedding", lambda w: w[:, :150]),
            "'encoder.pos_embedding' has the shape (1, 150, 768) there and (1, 197, 768) here",
        ),
        ("cnn", lambda s: {n: v for n, v in s.items() if n != "1.0.bias"}, "'1.0.bias' is not in it"),
        ("cnn", lambda s: {**s, "3.weight": torch.zeros(1)}, "the model has no '3.weight'"),
        ("cnn", lambda s: {"student": s, "teacher": s}, "several state dicts are in it (student, teacher); save one"),
        ("cnn", edit("1.0.bias", lambda w: w / 0), "broken weights: 64 of the 64 values of '1.0.bias' are NaN or inf"),
        (
            "cnn",
            edit("2.weight", lambda w: torch.full_like(w, float("nan"))),
            "broken weights: 5120 of the 5120 values of '2.weight' are NaN",
        ),
        ("cnn", edit("0.0.weight", lambda w: (w * 100).to(torch.int8)), "'0.0.weight' is of the type torch.int8; tor"),
    ],
    ids=["grey", "patches", "positions", "missing", "foreign", "several", "inf", "nan", "int8"],
)
def test_only_the_last_layer_may_differ(
    tmp_path: Path, model: str, change: Callable[[State], State], message: str
) -> None:
    torch.save(change(models.build(model, 5, side=224).state_dict()), tmp_path / "w.pth")
    with pytest.raises(SearchError) as error:
        models.build(model, 5, side=224, weights=str(tmp_path / "w.pth"))
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("model", ["cnn", "resnet18", "vit_b_32", "squeezenet1_0", "mine.py:net"])
def test_the_last_layer_is_known_by_the_number_of_classes(tmp_path: Path, model: str) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, n, c):\n"
        "        super().__init__()\n"
        "        self.out, self.body = nn.Linear(8, n), nn.Conv2d(c, 8, 3)\n"
        "    def forward(self, x): return self.out(self.body(x).mean((2, 3)))\n"
        "def net(num_classes, channels): return Net(num_classes, channels)\n"
    )
    source = models.build(model, 5, side=224)
    net = models.build(model, 9, side=224, weights=save_weights(source, tmp_path / "w.pth")).state_dict()
    old = source.state_dict()
    new = {name for name, value in net.items() if value.shape != old[name].shape}
    assert 0 < len(new) <= 2
    assert all(torch.equal(value, old[name]) for name, value in net.items() if name not in new)


def test_the_position_embedding_is_interpolated_as_torchvision_does(tmp_path: Path) -> None:
    source = models.build("vit_b_32", 5, side=224)
    file, heard = save_weights(source, tmp_path / "w.pth"), list[Loaded]()
    net = models.build("vit_b_32", 5, side=384, weights=file, read=heard.append)
    expected = interpolate_embeddings(384, 32, source.state_dict())["encoder.pos_embedding"]
    assert torch.equal(net.state_dict()["encoder.pos_embedding"], expected)
    assert heard[0].said.endswith("; position embedding of 49 patches interpolated to 144")
    with torch.no_grad():
        assert net.eval()(torch.zeros(1, 3, 384, 384)).shape == (1, 5)


def test_shared_tensors_that_safetensors_writes_once_are_found(tmp_path: Path) -> None:
    from safetensors.torch import save_model

    (tmp_path / "tied.py").write_text(
        "from torch import nn\n"
        "def net(num_classes, channels):\n"
        "    one, two = nn.Linear(4, 4), nn.Linear(4, 4)\n"
        "    two.weight = one.weight\n"
        "    return nn.Sequential(one, two, nn.Linear(4, num_classes))\n"
    )
    source = models.build("tied.py:net", 5)
    save_model(source, str(tmp_path / "w.safetensors"))
    net: Any = models.build("tied.py:net", 5, weights=str(tmp_path / "w.safetensors"))
    assert torch.equal(net[0].weight, source.state_dict()["0.weight"])
    assert isinstance(net, nn.Sequential)
    assert net[0].weight is net[1].weight
