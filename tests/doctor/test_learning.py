from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from search import models
from search.config import TrainConfig
from search.data.digits import Digits
from search.doctor.case import Case
from search.doctor.learning import frozen_head, initial_loss, memorised
from search.train.device import resolve_runtime

Write = Callable[[str, str], Path]


def config(**changed: Any) -> TrainConfig:
    base = dict(model="cnn", dataset="digits", epochs=1, lr=0.05, step_size=1, gamma=1.0, precision="fp32")
    return TrainConfig(**{**base, **changed})


def case(**changed: Any) -> Case:
    return Case(config(**changed), Digits(Path()), Path("data"), resolve_runtime("fp32", "cpu"), Path("pictures"))


def test_a_head_that_trains_passes() -> None:
    assert frozen_head(case(), {}).status == "ok"
    assert frozen_head(case(frozen=("0", "1")), {}).status == "ok"


def test_a_frozen_head_fails_where_no_option_trains_it() -> None:
    found = frozen_head(case(frozen=("2",)), {"lr=0.1": config(frozen=("2",), lr=0.1)})
    assert (found.status, found.seen[:25]) == ("FAIL", "2.weight is random and fr")
    assert found.remedy == "leave 2 out of frozen"


def test_a_frozen_head_in_one_option_of_several_is_a_warning_that_names_it() -> None:
    found = frozen_head(case(), {"frozen=head": config(frozen=("2",)), "frozen=low": config(frozen=("0",))})
    assert (found.status, "with frozen=head:" in found.seen) == ("warn", True)
    first = frozen_head(case(frozen=("2",)), {"frozen=none": config()})
    assert (first.status, "with frozen=2:" in first.seen) == ("warn", True)


def test_a_frozen_head_that_a_weights_file_fills_is_not_random(tmp_path: Path) -> None:
    torch.save(models.build("cnn", 10, channels=1).state_dict(), tmp_path / "w.pth")
    assert frozen_head(case(frozen=("2",), weights="w.pth"), {}).status == "ok"
    torch.save(models.build("cnn", 7, channels=1).state_dict(), tmp_path / "w.pth")
    assert frozen_head(case(frozen=("2",), weights="w.pth"), {}).status == "FAIL"


def test_the_first_loss_is_that_of_a_blind_guess() -> None:
    found = initial_loss(case(augment="crop_flip", label_smoothing=0.3, mixup=0.4))
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
    found = initial_loss(case(model="own.py:net"))
    assert found.status == status
    assert found.remedy.startswith(remedy)


def test_ten_images_are_learnt_by_heart(one_thread: None) -> None:
    for changed in (dict(model="cnn"), dict(model="mlp", lr=1000.0, weight_decay=10.0, optimizer="adamw")):
        assert memorised(case(**changed)).status == "ok"


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
    found = memorised(case(model="own.py:net"))
    assert found.status == "FAIL"
    assert found.seen.startswith("only ")
