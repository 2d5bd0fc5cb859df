"""The search problems that efficiency.py replays: a grid each, all of whose points record.py trained."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, IntDistribution

CURVES = Path(__file__).with_name("curves.npz")

Point = tuple[int, ...]
"""Indices into the axes of a grid."""

_LR = tuple(round(10 ** (k / 3 - 3), 5) for k in range(10))  # 0.001 to 1, three a decade
_DECAY = dict(weight_decay=(1e-6, 1e-4, 1e-2), step_size=(3, 6, 9), gamma=(0.1, 0.3, 0.5))


@dataclass(frozen=True)
class Problem:
    """A grid of settings and what is fixed beside it.

    `known_good`: configs that somebody would try first, as indices into the axes of `grid`.
    `features`: train on so many principal components of the pooled features of EfficientNet-Lite0, instead of on
    images; of 1,280, so that thousands of runs take minutes. `seeds`: a curve is
    the mean of so many runs, where one run's luck would outweigh the settings.
    """

    name: str
    what: str
    fixed: dict[str, Any]
    grid: dict[str, tuple[Any, ...]]
    known_good: tuple[Point, ...]
    classes: int
    features: int = 0
    seeds: int = 1

    @property
    def epochs(self) -> int:
        return int(self.fixed["epochs"])

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(values) for values in self.grid.values())

    def points(self) -> Iterator[Point]:
        """Every point of the grid, as indices, the last axis fastest."""
        return itertools.product(*(range(size) for size in self.shape))

    def distributions(self) -> dict[str, BaseDistribution]:
        """The axes as Optuna's distributions: a sampler sees steps, whose order it may use."""
        return {name: IntDistribution(0, len(values) - 1) for name, values in self.grid.items()}

    def settings(self, point: Point) -> dict[str, Any]:
        """What TrainConfig needs for a `point` of the grid."""
        chosen = {name: values[i] for (name, values), i in zip(self.grid.items(), point, strict=True)}
        return self.fixed | chosen


PROBLEMS = (
    Problem(
        "lite0_linear",
        "a linear head on 128 principal components of EfficientNet-Lite0's features, Caltech-101, 10 epochs, 4 seeds",
        dict(model="mlp", dataset="caltech101", hidden=(), epochs=10, batch_size=64),
        dict(lr=_LR, momentum=(0.8, 0.9, 0.95, 0.99), **_DECAY),
        ((3, 1, 1, 2, 0),),  # lr 0.01, momentum 0.9
        101,
        features=128,
        seeds=4,
    ),
    Problem(
        "digits_mlp",
        "fully connected layers, 64-64-10, on the handwritten digits, 12 epochs, 5 seeds",
        dict(model="mlp", dataset="digits", hidden=(64,), dropout=0.0, epochs=12, batch_size=32, precision="fp32"),
        dict(lr=_LR, momentum=(0.0, 0.5, 0.9, 0.97), **_DECAY),
        ((3, 2, 1, 1, 0), (6, 2, 1, 1, 0)),
        10,
        seeds=5,
    ),
    Problem(
        "lite0_bottleneck",
        "a head 128-64-101 on the same, 12 epochs, 4 seeds; its known-good config (lr 0.001) is poor",
        dict(model="mlp", dataset="caltech101", hidden=(64,), dropout=0.0, epochs=12, batch_size=64),
        dict(lr=_LR, momentum=(0.8, 0.9, 0.95, 0.99), **_DECAY),
        ((0, 1, 1, 2, 0),),  # lr 0.001, momentum 0.9: the first row of many a table
        101,
        features=128,
        seeds=4,
    ),
)


def curves(problem: Problem, file: Path = CURVES) -> NDArray[np.float64]:
    """Validation accuracy of every point after every epoch, (*grid, epochs); NaN from where it diverged."""
    with np.load(file) as stored:
        right, images = stored[problem.name], int(stored[f"{problem.name}_images"])
    return np.where(right < 0, np.nan, right / images)
