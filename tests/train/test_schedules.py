"""The schedules of the learning rate against their formulas."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from search.config import SCHEDULE_NEEDS, TrainConfig
from search.entry_points import SCHEDULES
from search.train.optimizers import make_optimizer
from search.train.schedules import Schedule


def config(**changed: Any) -> TrainConfig:
    base = dict(model="cnn", dataset="digits", epochs=9, lr=0.1, step_size=3, gamma=0.5)
    return TrainConfig(**{**base, **changed})


def test_what_a_schedule_needs_has_no_default() -> None:
    assert set(SCHEDULE_NEEDS) <= set(SCHEDULES)
    for needs in SCHEDULE_NEEDS.values():
        assert {TrainConfig.model_fields[name].default for name in needs} == {None}


@given(
    lr=st.floats(1e-6, 10),
    gamma=st.floats(1e-2, 1),
    step_size=st.integers(1, 12),
    epochs=st.integers(1, 40),
)
@settings(deadline=None)
def test_learning_rate_of_every_epoch(lr: float, gamma: float, step_size: int, epochs: int) -> None:
    made = config(lr=lr, gamma=gamma, step_size=step_size, epochs=epochs)
    optimizer = make_optimizer(nn.Linear(1, 1), made)
    schedule = Schedule(optimizer, made, steps=1)
    for epoch in range(1, epochs + 1):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(lr * gamma ** ((epoch - 1) // step_size), rel=1e-9)
        optimizer.step()
        schedule.after_step()
        schedule.after_epoch()


def rates(made: TrainConfig, steps: int) -> list[float]:
    """The learning rate of every step of a run of `steps` steps an epoch."""
    optimizer = make_optimizer(nn.Linear(1, 1), made)
    schedule = Schedule(optimizer, made, steps)
    seen = []
    for _ in range(made.epochs):
        for _ in range(steps):
            seen.append(optimizer.param_groups[-1]["lr"])
            optimizer.step()
            schedule.after_step()
        schedule.after_epoch()
    return seen


RUNS = dict(lr=st.floats(1e-5, 1), epochs=st.integers(1, 12), steps=st.integers(1, 12))
WARM = st.floats(0, 6)


@given(**RUNS, warmup=WARM)
@settings(deadline=None)
def test_cosine(lr: float, epochs: int, steps: int, warmup: float) -> None:
    """lr (1 + cos(pi t / T)) / 2 over the T steps after a linear rise of n steps, lr (k + 1) / (n + 1)."""
    seen = rates(config(lr=lr, epochs=epochs, schedule="cosine", warmup_epochs=warmup), steps)
    total = epochs * steps
    rise = min(round(warmup * steps), total - 1)
    for k, rate in enumerate(seen):
        t = k - rise
        expected = lr * (k + 1) / (rise + 1) if t < 0 else lr * (1 + math.cos(math.pi * t / (total - rise))) / 2
        assert rate == pytest.approx(expected, rel=1e-6, abs=1e-12 * lr), k


@given(**RUNS, warmup=WARM, schedule=st.sampled_from(["step", "constant"]))
@settings(deadline=None)
def test_warm_up_beside_steps_and_a_constant(lr: float, epochs: int, steps: int, warmup: float, schedule: str) -> None:
    made = config(lr=lr, epochs=epochs, schedule=schedule, warmup_epochs=warmup, step_size=2, gamma=0.5)
    rise = min(round(warmup * steps), epochs * steps - 1)
    for k, rate in enumerate(rates(made, steps)):
        decay = 0.5 ** (k // steps // 2) if schedule == "step" else 1
        assert rate == pytest.approx(lr * decay * min((k + 1) / (rise + 1), 1), rel=1e-6), k


@given(lr=st.floats(1e-5, 1), epochs=st.integers(1, 9))
@settings(deadline=None)
def test_slanted_triangle(lr: float, epochs: int) -> None:
    """ULMFiT, equation 3, to the letter: cut_frac 0.1 and ratio 32."""
    total = epochs * 10
    cut = math.floor(total * 0.1)
    for t, rate in enumerate(rates(config(lr=lr, epochs=epochs, schedule="slanted_triangular"), 10)):
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / 0.1 - 1))
        assert rate == pytest.approx(lr * (1 + p * (32 - 1)) / 32, rel=1e-9), t


@given(**RUNS, warmup=WARM, schedule=st.sampled_from(["one_cycle", "slanted_triangular"]))
@settings(deadline=None)
def test_what_rises_and_falls_stays_in_its_bounds(
    lr: float, epochs: int, steps: int, warmup: float, schedule: str
) -> None:
    seen = rates(config(lr=lr, epochs=epochs, schedule=schedule, warmup_epochs=warmup), steps)
    lowest = lr / 32 if schedule == "slanted_triangular" else lr / 25e4
    assert all(lowest * (1 - 1e-9) <= rate <= lr * (1 + 1e-9) for rate in seen)
    top = seen.index(max(seen))
    assert seen[: top + 1] == sorted(seen[: top + 1])
    assert seen[top:] == sorted(seen[top:], reverse=True)


def test_the_warm_up_of_what_rises_by_itself_is_the_length_of_its_rise() -> None:
    made = dict(lr=0.5, epochs=10, warmup_epochs=4.0)
    assert rates(config(**made, schedule="slanted_triangular"), 10)[40] == pytest.approx(0.5)
    assert rates(config(**made, schedule="one_cycle"), 10)[39] == pytest.approx(0.5)


def test_one_cycle_at_named_steps() -> None:
    """From lr / 25 by half a cosine to lr at 30% of the steps, by another to lr / 25 / 10 000 at the last."""
    seen = rates(config(lr=0.5, epochs=10, schedule="one_cycle"), 10)
    assert [seen[k] for k in (0, 29, 99)] == pytest.approx([0.02, 0.5, 0.02e-4])
    assert seen[10] == pytest.approx(0.5 + (0.02 - 0.5) / 2 * (1 + math.cos(math.pi * 10 / 29)))
    assert seen[50] == pytest.approx(0.02e-4 + (0.5 - 0.02e-4) / 2 * (1 + math.cos(math.pi * 21 / 70)))


def test_one_cycle_leaves_the_momentum() -> None:
    made = config(schedule="one_cycle", momentum=0.7)
    optimizer = make_optimizer(nn.Linear(1, 1), made)
    Schedule(optimizer, made, 3)
    assert optimizer.param_groups[0]["momentum"] == 0.7
