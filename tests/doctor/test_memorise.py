"""Ten images by heart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cases import case

from search.doctor import memorise

Write = Callable[[str, str], Path]


def test_ten_images_are_learnt_by_heart(one_thread: None) -> None:
    for changed in (dict(model="cnn"), dict(model="mlp", lr=1000.0, weight_decay=10.0, optimizer="adamw")):
        assert memorise.check(case(**changed)).status == "ok"


def test_a_model_that_cannot_learn_is_found(write: Write, one_thread: None) -> None:
    blind = """\
        from torch import nn
        class Blind(nn.Linear):
            def forward(self, x):
                return super().forward(0 * x.flatten(1))
        def net(num_classes, channels):
            return Blind(64 * channels, num_classes)
        """
    write("own.py", blind)
    found = memorise.check(case(model="own.py:net"))
    assert found.status == "FAIL"
    assert found.seen.startswith("only ")
