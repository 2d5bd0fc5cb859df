"""Custom models: functions in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from search import models
from search.errors import SearchError

FILE = """\
from torch import nn
def flat(num_classes, channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * 64, num_classes))
def wrong(num_classes, channels): return 3
def broken(num_classes, channels): return nn.Linear(channels, nonsense)
"""


def test_a_function_in_a_file_is_a_model(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    assert models.build("mine.py:flat", 7, 1)(torch.zeros(2, 1, 8, 8)).shape == (2, 7)
    assert models.image_spec(f"{tmp_path}/mine.py:flat") is None


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("none.py:flat", r"model='none.py:flat': no file none.py; write it as path/to/file.py:function"),
        ("mine.py:flatt", r"mine.py: no function 'flatt'; did you mean 'flat'\?"),
        ("mine.py:wrong", r"mine.py:wrong returned a int; it must be a torch.nn.Module"),
        ("mine.py:broken", r"mine.py:broken: NameError: name 'nonsense' is not defined"),
        ("bad.py:flat", r"bad.py: ModuleNotFoundError: No module named 'nothing_of_the_kind'"),
    ],
)
def test_a_wrong_function_is_named(model: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    (tmp_path / "bad.py").write_text("import nothing_of_the_kind\n")
    with pytest.raises(SearchError, match=f"^{says}$"):
        models.build(model, 10)


@pytest.mark.parametrize("model", ["mlp", "mine.py:flat"])
def test_a_model_without_published_weights_has_no_pretrained_weights(model: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    with pytest.raises(SearchError, match="has no pretrained weights"):
        models.build(model, 10, weights="DEFAULT")


LAZY = """\
import torch
from torch import nn
def lazy(num_classes, channels):
    layers = nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.Dropout(), nn.LazyLinear(num_classes)
    net = nn.Sequential(*layers)
    net[3].eval()
    return net
def narrow(num_classes, channels): return nn.Sequential(nn.LazyConv2d(4, 30), nn.Flatten(), nn.LazyLinear(num_classes))
def unused(num_classes, channels):
    net = nn.Sequential(nn.Flatten())
    net.forward, net.head = net[0].forward, nn.LazyLinear(num_classes)
    return net
def nothing(num_classes, channels): return nn.Flatten()
"""


def test_lazy_layers_get_their_shapes(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(LAZY)
    torch.manual_seed(3)
    net = models.build("mine.py:lazy", 7, 1, side=8)
    assert [parameter.shape for parameter in net.parameters()] == [(4, 1, 3, 3), (4,), (4,), (4,), (7, 144), (7,)]
    assert [module.training for module in net.children()] == [True, True, True, False, True]
    assert net.training
    assert not net[1].num_batches_tracked  # type: ignore[index]
    torch.manual_seed(3)
    again = models.build("mine.py:lazy", 7, 1, side=8)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in net.state_dict().items())
    with torch.device("meta"):
        assert next(models.build("mine.py:lazy", 7, 3, side=8).parameters()).is_meta


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "narrow",
            r"mine.py:narrow: its lazy layers need a pass of images of 1 x 8 x 8, which fails: .*",
        ),
        (
            "unused",
            r"mine.py:unused: the lazy layer head has no part in its forward\(\): .*",
        ),
        ("nothing", r"mine.py:nothing returned a Flatten without parameters; there is nothing to train"),
    ],
)
def test_a_model_that_cannot_be_trained_is_named(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "mine.py").write_text(LAZY)
    with pytest.raises(SearchError, match=f"^{says}$"):
        models.build(f"mine.py:{name}", 7, 1, side=8)
