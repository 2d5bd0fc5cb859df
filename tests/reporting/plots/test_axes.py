"""Settings as axes: numbers on their scale, options by name, what a trial does not have left open."""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, create_trial

from search.reporting.plots.axes import axes_of

RANGES: dict[str, Any] = {
    "lr": FloatDistribution(1e-4, 1, log=True),
    "step": IntDistribution(5, 25, step=5),
    "start": CategoricalDistribution((None, "DEFAULT", 3)),
    "fixed": IntDistribution(1, 3),
}


def trial(**params: Any) -> FrozenTrial:
    return create_trial(value=0.0, params=params, distributions={name: RANGES[name] for name in params})


def test_axes() -> None:
    trials = [trial(lr=0.01, step=10, start=None, fixed=2), trial(lr=0.1, start=3, fixed=2), trial(lr=1.0, step=25)]
    lr, step, start = axes_of(trials)  # what is the same in all trials that have it is no axis
    assert (lr.name, lr.log, lr.ends, lr.options) == ("lr", True, (1e-4, 1.0), ())
    assert np.allclose(lr.shares(), [0.5, 0.75, 1])
    assert lr.ticks() == [(0.0, "0.0001"), (0.5, "0.01"), (1.0, "1")]
    assert np.allclose(step.shares(), [0.25, np.nan, 1], equal_nan=True)
    assert step.ticks() == [(0.0, "5"), (1.0, "25")]
    assert (start.options, start.log) == (("None", "3"), False)  # in the order of the space
    assert np.allclose(start.shares(), [0, 1, np.nan], equal_nan=True)
    assert start.ticks() == [(0.0, "None"), (1.0, "3")]
    assert axes_of([]) == axes_of(trials[:1]) == []
