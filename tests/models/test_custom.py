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
