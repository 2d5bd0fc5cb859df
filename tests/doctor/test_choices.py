from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from search.doctor.case import Finding
from search.doctor.choices import Builder, check, first_sound
from search.space.file import load_space

pytestmark = pytest.mark.usefixtures("sys_path")
Write = Callable[[str, str], Path]
SPACE = """\
from search import Choice, Float, Int, SearchSpace
space = SearchSpace(dataset="digits", epochs=2, lr=Float(1e-3, 1e-1), step_size=1, gamma=1.0, MORE)
"""


def built(write: Write, more: str) -> Finding:
    space = load_space(write("s.py", SPACE.replace("MORE", more)))
    builder = Builder(Path("data"))
    base, _ = first_sound(space, builder)
    assert base is not None
    return check(space, base, builder)


def test_a_sound_space_passes(write: Write) -> None:
    # 898 images: the last batch of 69 has one, which joins the batch before where there is batch normalisation.
    found = built(write, "model=Choice('cnn', 'resnet18'), frozen=Choice(()), batch_size=Choice(32, 69)")
    assert found.status == "ok"
    assert "of 4 dimensions" in found.seen


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("model=Choice('cnn', 'resnet99')", "model=resnet99: unknown model 'resnet99'; did you mean"),
        ("model=Choice('resnet99', 'cnn')", "model=resnet99: unknown model 'resnet99'; did you mean"),
        ("model='cnn', frozen=Choice(all=(), odd=('7',))", "frozen=odd: frozen='7' matches no parameter"),
        ("model='cnn', dropout=Choice(None, 0.5)", "dropout=0.5: dropout=0.5: cnn has no dropout layer"),
        ("model='cnn', subset=Choice(None, 9)", "subset=9: subset=9: fewer images than the 10 classes"),
        ("model='cnn', weights=Choice(no=None, yes='w.pth')", "weights=yes: weights='w.pth': no such file"),
        # 898 images: the last batch of 69 has one, which such a model drops.
        (
            "model='own.py:shy', batch_size=Choice(64, 69)",
            "batch_size=69: own.py:shy: its outputs have the shape (10,); (1, 10) is needed, (images, classes)",
        ),
        (
            "model='own.py:net', batch_size=Choice(64, 1)",
            "batch_size=1: batch_size=1: the batch normalisation '2' compares the images of a step, and one has none",
        ),
        (
            "model=Choice('cnn', 'own.py:wide')",
            "model=own.py:wide: own.py:wide: its outputs have the shape (2, 1010); (2, 10)",
        ),
        (
            "model=Choice('cnn', 'own.py:deaf')",
            "model=own.py:deaf: own.py:deaf cannot take images of 8 x 8 px: RuntimeError: ",
        ),
    ],
)
def test_an_option_that_cannot_be_built_is_named_with_its_dimension(write: Write, more: str, message: str) -> None:
    text = """\
        from torch import nn
        def net(num_classes, channels):
            return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, num_classes))
        class Shy(nn.Module):
            def __init__(self, classes):
                super().__init__()
                self.out = nn.Linear(64, classes)
            def forward(self, x):
                return self.out(x.flatten(1)).squeeze()
        def shy(num_classes, channels):
            return Shy(num_classes)
        def wide(num_classes, channels):
            return nn.Sequential(nn.Flatten(), nn.Linear(64, 1000 + num_classes))
        def deaf(num_classes, channels):
            return nn.Linear(3, num_classes)
        """
    write("own.py", text)
    found = built(write, more)
    assert found.status == "FAIL"
    assert found.seen.startswith(message)
    assert found.remedy


def test_a_combination_that_cannot_be_built_though_each_option_can_is_found(write: Write) -> None:
    more = "model=Choice('cnn', 'mlp'), frozen=Choice(none=(), low=('0',))"  # mlp's layer 0 only flattens
    found = built(write, more)
    assert found.status == "FAIL"
    assert found.seen.startswith("model=mlp, frozen=low: frozen='0' matches no parameter of the model")


def test_all_wrong_options_are_named_not_the_first_alone(write: Write) -> None:
    found = built(write, "model=Choice('cnn', 'no1', 'no2', 'no3', 'no4')")
    assert all(f"model=no{n}: " in found.seen for n in (1, 2, 3))
    assert found.seen.endswith("(and 1 more)")


def test_no_point_at_all(write: Write) -> None:
    space = load_space(write("s.py", SPACE.replace("MORE", "model='cnn'").replace("digits", "caltech101")))
    point, error = first_sound(space, Builder(Path("data")))
    assert point is None
    assert "no Caltech-101 in" in error
