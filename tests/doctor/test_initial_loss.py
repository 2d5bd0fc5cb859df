"""The first loss against a blind guess."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cases import case

from search.doctor import initial_loss

Write = Callable[[str, str], Path]


def test_the_first_loss_is_that_of_a_blind_guess() -> None:
    found = initial_loss.check(case(augment="crop_flip", label_smoothing=0.3, mixup=0.4))
    assert found.status == "ok"
    assert found.seen.endswith("ln(10) = 2.303")


@pytest.mark.parametrize(
    ("change", "status", "remedy"),
    [
        ("net[1].weight.data *= 100", "FAIL", "the head's first outputs are too large"),
        ("net[1].weight.data *= 3", "warn", "the head's first outputs are large"),
        ("net[1].bias.data.fill_(float('nan'))", "FAIL", "look at the model's outputs"),
    ],
)
def test_a_head_that_begins_too_loud_is_found(write: Write, change: str, status: str, remedy: str) -> None:
    text = """\
        from torch import nn
        def net(num_classes, channels):
            net = nn.Sequential(nn.Flatten(), nn.Linear(64 * 64 * channels, num_classes))
            CHANGE
            return net
        """
    write("own.py", text.replace("64 * 64", "8 * 8").replace("CHANGE", change))
    found = initial_loss.check(case(model="own.py:net"))
    assert found.status == status
    assert found.remedy.startswith(remedy)
