"""What a trial takes; test_doctor.py has it measured in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.config import TrainConfig
from search.data.digits import Digits
from search.doctor import cost
from search.doctor.case import Case
from search.doctor.device_memory import GIB
from search.train.device import resolve_runtime

CONFIG = TrainConfig(
    model="cnn", dataset="digits", epochs=3, batch_size=32, lr=0.05, step_size=1, gamma=1.0, precision="fp32"
)
MEASURED: dict[str, Any] = {"step": 0.5, "load": 0.1, "images": 32, "split": 320, "device": "cpu"}


def test_a_process_that_dies_is_a_finding_with_what_it_said(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"weights": "none.pth"})
    (found,) = cost.check(Case(config, Digits(Path()), tmp_path, resolve_runtime("fp32", "cpu"), Path("p")), 64)
    assert found.status == "FAIL"
    assert "none.pth" in found.seen


@pytest.mark.parametrize(("load", "status"), [(0.1, "ok"), (0.3, "warn")])
def test_a_loader_slower_than_the_training_is_named(load: float, status: str) -> None:
    found = cost.speed(CONFIG, {**MEASURED, "load": load})
    assert found.status == status
    assert found.seen.endswith("an epoch about 5 s, a trial 15 s")
    frozen = cost.speed(CONFIG.model_copy(update={"frozen": ("0",)}), {**MEASURED, "load": load})
    assert frozen.seen.endswith("a trial 15 s, less where the frozen layers are computed once")


@pytest.mark.parametrize(
    ("peak", "device", "status", "words"),
    [
        (1, "cpu", "ok", "8 fit on this machine"),
        (5, "cpu", "warn", "cpus_per_trial=4"),
        (9, "cpu", "FAIL", "a smaller batch_size"),
        (1.3, "cuda", "ok", "6 fit on the GPU (gpus_per_trial=0.1666 runs them"),  # of 0.17, five
        (3, "cuda", "ok", "2 fit on the GPU (gpus_per_trial=0.5 runs them side by side)"),
    ],
)
def test_how_many_fit(peak: float, device: str, status: str, words: str) -> None:
    found = cost.memory(CONFIG, {**MEASURED, "device": device, "peak": peak * GIB, "free": 8 * GIB}, 4)
    assert found.status == status
    assert words in f"{found.seen} {found.remedy}"
