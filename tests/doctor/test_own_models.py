"""Models of one's own that cannot be trained are refused before the first trial, each in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pictures import lay_out

from search.doctor.preflight import preflight
from search.errors import SearchError
from search.space.file import load_space

pytestmark = pytest.mark.usefixtures("sys_path")
Write = Callable[[str, str], Path]
OWN = """\
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(64, 10)
class Fails(Net):
    def forward(self, x): return self.out(x.flatten(1), nonsense)
class Pair(Net):
    def forward(self, x): return self.out(x.flatten(1)), x
class Chosen(Net):
    def forward(self, x): return self.out(x.flatten(1)).argmax(1)
class Detached(Net):
    def forward(self, x): return self.out(x.flatten(1)).detach()
def fails(num_classes, channels): return Fails()
def pair(num_classes, channels): return Pair()
def chosen(num_classes, channels): return Chosen()
def detached(num_classes, channels): return Detached()
def seven(num_classes, channels): return nn.Sequential(nn.Flatten(), nn.Linear(channels * 64, 7))
def nothing(num_classes, channels): return nn.Flatten()
def lazy(num_classes, channels): return nn.Sequential(nn.Flatten(), nn.LazyLinear(9), nn.LazyLinear(num_classes))
def three(num_classes, channels): return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
"""
SPACE = """\
from search import SearchSpace
space = SearchSpace(dataset="DATASET", model="own.py:MODEL", epochs=1, schedule="constant", lr=0.1)
"""


def check(write: Write, model: str, dataset: str = "digits") -> None:
    write("own.py", OWN)
    preflight(load_space(write("s.py", SPACE.replace("MODEL", model).replace("DATASET", dataset))), Path("data"))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("fails", " cannot take images of 8 x 8 px: line 7: NameError: name 'nonsense' is not defined"),
        ("pair", ": its outputs are a tuple; one tensor of a score a class is needed"),
        ("chosen", ": its outputs are torch.int64; scores that can be trained are floating-point"),
        ("detached", ": its outputs have no gradient, so that nothing can be trained: do not detach them"),
        ("seven", ": its outputs have the shape (2, 7); (2, 10) is needed, (images, classes)"),
        ("nothing", " returned a Flatten without parameters; there is nothing to train"),
    ],
)
def test_a_model_that_cannot_be_trained_is_refused(write: Write, tmp_path: Path, model: str, said: str) -> None:
    with pytest.raises(SearchError) as caught:
        check(write, model)
    assert str(caught.value) == f"{tmp_path}/s.py: own.py:{model}{said}"


def test_lazy_layers_pass(write: Write) -> None:
    check(write, "lazy")


def test_a_model_of_as_many_classes_as_the_data_passes(write: Write, tmp_path: Path) -> None:
    lay_out(tmp_path / "data" / "pets", {"cat": 8, "dog": 8, "eel": 8})
    check(write, "three", "imagefolder:pets")
