"""How many trials share a GPU: the decision for every measurement, and the measurement itself on what is here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search.config import TrainConfig
from search.doctor import gpu_share
from search.doctor.device_memory import GIB
from search.doctor.gpu_share import FULL, SPARE, Measured, choose, measure, points, trials_a_gpu
from search.errors import SearchError
from search.space.file import load_space

pytestmark = pytest.mark.usefixtures("torch_threads", "sys_path")
Write = Callable[[str, str], Path]

SPACE = """
    from search import Choice, Float, Int, SearchSpace
    space = SearchSpace(model=Choice("cnn", "mlp"), dataset="digits", epochs=2, lr=Float(0.01, 0.3), step_size=1,
                        gamma=0.1, batch_size=Int(16, 64, step=16), ema=Float(0, 0.9), precision="fp32")
"""
SETTINGS: dict[str, Any] = dict(
    model="cnn", dataset="digits", epochs=1, lr=0.05, schedule="one_cycle", batch_size=32, precision="fp32"
)
seconds = st.floats(1e-5, 10)


def measured(peak: int = GIB, total: int = 80 * GIB, step: float = 0.01, busy: float | None = 0.002) -> Measured:
    return Measured(peak, total, step, busy, 32)


@pytest.mark.parametrize(
    ("seen", "cpus_a_gpu", "cpus", "trials"),
    [
        (measured(), 16, 1, 5),  # the GPU computes for a fifth of the time: four are 80% of what is to be had
        (measured(peak=30 * GIB), 16, 1, 2),  # three would fill the memory to the last tenth
        (measured(), 3, 1, 3),
        (measured(), 16, 4, 4),
        (measured(busy=0.0095), 16, 1, 1),  # a second trial would gain a twentieth
        (measured(busy=0.0085), 16, 1, 2),
        (measured(busy=None), 16, 1, 1),  # nobody knows that there is time to share
        (measured(peak=100 * GIB), 16, 1, 1),  # one there must be; it fails with its own reason
        (measured(), 0.5, 1, 1),
    ],
)
def test_the_scarcest_of_memory_cpus_and_time_decides(
    seen: Measured, cpus_a_gpu: float, cpus: float, trials: int
) -> None:
    assert trials_a_gpu(seen, cpus_a_gpu, cpus) == trials


@given(
    peak=st.integers(1, 200 * GIB),
    total=st.integers(GIB, 200 * GIB),
    step=seconds,
    busy=st.none() | seconds,
    cpus_a_gpu=st.floats(0.125, 256),
    cpus=st.floats(0.5, 16),
)
def test_more_than_one_fit_and_are_worth_it(
    peak: int, total: int, step: float, busy: float | None, cpus_a_gpu: float, cpus: float
) -> None:
    seen = measured(peak, total, step, busy)
    count = trials_a_gpu(seen, cpus_a_gpu, cpus)
    assert count >= 1
    if count > 1:
        assert busy is not None
        assert count * peak <= (1 - SPARE) * total
        assert count * cpus <= cpus_a_gpu
        assert count - 1 < FULL * step / busy + 1e-6  # one fewer would leave more than a tenth of the gain
    # Never fewer for more memory, more CPUs or an idler GPU.
    assert trials_a_gpu(measured(peak, 2 * total, step, busy), cpus_a_gpu, cpus) >= count
    assert trials_a_gpu(seen, 2 * cpus_a_gpu, cpus) >= count
    if busy is not None:
        assert trials_a_gpu(measured(peak, total, step, busy / 2), cpus_a_gpu, cpus) >= count


def test_the_points_are_those_that_cost_otherwise_in_the_largest_batch(write: Write) -> None:
    found = points(load_space(write("space.py", SPACE)))
    assert [(c.model, c.ema > 0, c.batch_size) for c in found] == [
        ("cnn", True, 64),
        ("mlp", True, 64),
        ("cnn", False, 64),
    ]


def test_points_of_a_space_without_any(write: Write) -> None:
    text = 'def space(trial):\n        return {"model": "cnn", "lr": trial.suggest_float("lr", -2, -1)}\n'
    with pytest.raises(SearchError, match="dataset"):
        points(load_space(write("space.py", f"    {text}")))


@pytest.mark.parametrize("changed", [{}, {"frozen": ("0",), "precision": "bf16"}, {"gradual_unfreeze": True}])
def test_a_step_is_measured_on_this_device(changed: dict[str, Any]) -> None:
    """On a CPU through the same code: an operator of torch's counts as the device's time."""
    seen = measure([TrainConfig(**{**SETTINGS, **changed})], Path(), "cpu")
    assert seen.images == 32
    assert 0 < seen.step < 10
    assert seen.busy is not None
    assert 0 < seen.busy < 20 * seen.step  # the profiler slows them down
    assert 0.1 * GIB < seen.peak < seen.total


def test_the_time_is_that_of_the_point_that_leaves_the_device_least_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"cnn": (0.004, 0.001, 32), "mlp": (0.008, 0.004, 16)}
    monkeypatch.setattr(gpu_share, "_step", lambda config, *place: times[config.model])
    both = [TrainConfig(**{**SETTINGS, "model": model}) for model in times]
    shown: list[tuple[str, int, int]] = []
    seen = measure(both, Path(), "cpu", progress=lambda *words: shown.append(words))
    assert (seen.step, seen.busy, seen.images) == times["mlp"]
    assert [words[1:] for words in shown] == [(0, 2), (1, 2)]


def test_the_choice_comes_with_its_reasons(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_share, "measure", lambda *words: measured(peak=9 * GIB))
    path = str(write("space.py", SPACE))
    assert choose(path, [], Path(), 0, 16, 1, lambda *words: None) == (
        5,
        "gpus_per_trial=auto: 5 on a GPU, which has memory for 8, CPUs for 16, idle time for 5: a step of 32 images "
        "takes 10 ms, the GPU computes for 2 ms of it; a trial holds 9 of 80 GiB",
    )


def test_what_cannot_be_measured_has_a_gpu_alone(write: Write) -> None:
    path = str(write("space.py", SPACE.replace('"digits"', '"caltech101"')))
    count, why = choose(path, [], Path("nowhere"), 0, 16, 1, lambda *words: None)
    assert count == 1
    assert why.startswith("gpus_per_trial=auto: one trial a GPU, for the measurement failed: ")
    assert "nowhere" in why


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_busy_for_a_part_of_a_step() -> None:
    seen = measure([TrainConfig(**SETTINGS)], Path(), "cuda")
    assert seen.busy is not None
    assert 0 < seen.busy <= 1.1 * seen.step
    assert 0 < seen.peak < seen.total
