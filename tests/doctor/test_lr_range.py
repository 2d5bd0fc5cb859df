from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.config import TrainConfig
from search.data.digits import Digits
from search.doctor.case import PLAIN, Case
from search.doctor.lr_range import HIGHEST, Sweep, Useful, check, find, judge, run
from search.train.device import resolve_runtime


def case(**changed: Any) -> Case:
    base = dict(model="cnn", dataset="digits", epochs=1, batch_size=32, lr=0.05, step_size=1, gamma=1.0)
    config = TrainConfig(**{**base, **changed})
    return Case(config, Digits(Path()), Path("data"), resolve_runtime("fp32", "cpu"), Path("pictures"))


@pytest.mark.parametrize(
    ("changed", "space"),
    [({}, (1e-3, 1.0)), ({"optimizer": "adamw", "schedule": "cosine", "warmup_epochs": 0.5}, (1e-4, 1e-2))],
)
def test_the_sweep_finds_rates_at_which_the_digits_are_learnt(
    changed: dict[str, Any], space: tuple[float, float], one_thread: None
) -> None:
    swept = case(**changed)
    useful = find(run(swept.learner(**PLAIN), swept, HIGHEST))
    assert useful is not None
    found = judge(useful, space, "how")
    assert found.status == "ok", found
    high = check(case(**changed), (space[0] * 1000, space[1] * 1000))
    assert high.status == "FAIL", high
    assert Path("pictures/lr_range.png").stat().st_size > 5000
    assert "every trial would diverge" in high.remedy
    low = judge(useful, (space[0] / 1e4, space[1] / 1e4), "how")
    assert low.status == "warn"
    assert "below the useful one: lr=Float(" in low.remedy


def test_the_ends_of_a_curve_that_is_known() -> None:
    rates = np.geomspace(1e-6, 10, 141)
    loss = np.interp(np.log10(rates), [-6, -4, -2, -1, 1], [2.3, 2.3, 0.5, 0.5, 8])
    noise = 1 + 0.02 * np.random.default_rng(0).standard_normal(141)
    useful = find(Sweep(rates, loss * noise, 32))
    assert useful is not None
    assert 1e-4 < useful.low < 5e-4
    assert 0.8e-2 < useful.best < 0.15
    assert useful.diverges == pytest.approx(10 ** (-1 + 2 * 1.8 / 7.5), rel=0.5)


def test_noise_is_no_fall() -> None:
    noise = 2.3 + 0.1 * np.random.default_rng(0).standard_normal(120)
    assert find(Sweep(np.geomspace(1e-6, 10, 120), noise, 32)) is None


@pytest.mark.parametrize(
    ("low", "high", "status", "words"),
    [
        (1e-3, 1.0, "ok", ""),
        (0.1, 0.1, "ok", ""),
        (10.0, 1000.0, "FAIL", "every trial would diverge"),
        (3.0, 3.0, "FAIL", "every trial would diverge"),
        (0.5, 1.0, "warn", "above the useful one"),
        (1e-6, 1e-4, "warn", "below the useful one"),
        (1e-6, 2e-2, "warn", "misses most of the useful one: lr=Float(0.01, 0.3, log=True)"),
        (1e-2, 1e3, "warn", "of the range diverges"),
    ],
)
def test_the_range_of_the_space_is_judged(low: float, high: float, status: str, words: str) -> None:
    found = judge(Useful(0.01, 0.3, 2.0), (low, high), "how")
    assert found.status == status, found
    assert words in found.remedy
    assert "useful 0.01 to 0.3, diverges at 2" in found.seen
