"""Cases that the checks examine: a small model on the digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from search.config import TrainConfig
from search.data.digits import Digits
from search.doctor.case import Case
from search.train.device import resolve_runtime


def config(**changed: Any) -> TrainConfig:
    base = dict(model="cnn", dataset="digits", epochs=1, lr=0.05, step_size=1, gamma=1.0, precision="fp32")
    return TrainConfig(**{**base, **changed})


def case(**changed: Any) -> Case:
    return Case(config(**changed), Digits(Path()), Path("data"), resolve_runtime("fp32", "cpu"), Path("pictures"))
