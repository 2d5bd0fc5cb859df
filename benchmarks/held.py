"""The problems that were held back: recorded by record_held.py, and replayed once, when the design was settled."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.problems import Problem

HELD = Path(__file__).with_name("held.npz")

_CIFAR = dict(dataset="imagefolder:cifar2000", image_side=16, batch_size=64, precision="fp32")


def _lr(low: float, high: float, count: int) -> tuple[float, ...]:
    return tuple(float(f"{value:.2g}") for value in np.geomspace(low, high, count))


PROBLEMS = (
    Problem(
        "lite0_adamw",
        "a head 128-128-101 on 128 principal components of Lite0's features, Caltech-101, AdamW, cosine, 12 epochs",
        dict(
            model="mlp",
            dataset="caltech101",
            hidden=(128,),
            optimizer="adamw",
            schedule="cosine",
            epochs=12,
            batch_size=64,
        ),
        dict(
            lr=_lr(1e-4, 1e-1, 10),
            weight_decay=(1e-3, 1e-2, 1e-1, 1.0),
            dropout=(0.0, 0.25, 0.5),
            warmup_epochs=(0.0, 1.0, 3.0),
        ),
        ((3, 1, 0, 0),),  # lr 0.001, weight decay 0.01: torch's defaults
        101,
        features=128,
        seeds=3,
    ),
    Problem(
        "digits_onecycle",
        "fully connected layers, 64-64-10, on the handwritten digits, one cycle with a rise of 1 to 8 of 12 epochs",
        dict(
            model="mlp",
            dataset="digits",
            hidden=(64,),
            dropout=0.0,
            schedule="one_cycle",
            epochs=12,
            batch_size=32,
            precision="fp32",
        ),
        dict(
            lr=_lr(3e-3, 3.0, 10),
            momentum=(0.0, 0.5, 0.9, 0.97),
            weight_decay=(1e-6, 1e-4, 1e-2),
            warmup_epochs=(1.0, 4.0, 8.0),
        ),
        ((3, 2, 1, 1),),
        10,
        seeds=3,
    ),
    Problem(
        "cifar_mlp",
        "fully connected layers, 768-128-10, on 2,000 images of CIFAR-10 at 16 px, dropout and flips, 15 epochs",
        dict(model="mlp", hidden=(128,), schedule="cosine", epochs=15, **_CIFAR),
        dict(
            lr=_lr(1e-3, 0.46, 9),
            momentum=(0.8, 0.9, 0.97),
            weight_decay=(1e-5, 1e-2),
            dropout=(0.0, 0.2, 0.5),
            augment=("none", "flip"),
        ),
        ((3, 1, 0, 0, 0),),
        10,
        seeds=3,
    ),
    Problem(
        "cifar_cnn",
        "two convolutions and a linear layer on the same images, SGD with step decay, 10 epochs",
        dict(model="cnn", epochs=10, **_CIFAR),
        dict(
            lr=_lr(3e-3, 0.65, 9),
            momentum=(0.5, 0.9, 0.97),
            weight_decay=(1e-5, 1e-3),
            step_size=(3, 5, 8),
            gamma=(0.1, 0.3),
        ),
        ((2, 1, 0, 1, 0),),
        10,
        seeds=3,
    ),
)
"""`seeds`: so many runs, of the best BEST points of the first run only."""
BEST = 50


@cache
def _stored(name: str) -> tuple[NDArray[np.int64], int]:
    """Right validation images (seeds, *grid, epochs), -1 where it diverged, -2 where it did not run; of how many."""
    with np.load(HELD) as stored:
        return stored[name].astype(np.int64), int(stored[f"{name}_images"])


def curves(problem: Problem) -> NDArray[np.float64]:
    """Validation accuracy of the first run of every point after every epoch, (*grid, epochs); NaN: it diverged."""
    right, images = _stored(problem.name)
    return np.where(right[0] < 0, np.nan, right[0] / images)


def reached(problem: Problem) -> NDArray[np.float64]:
    """The last accuracy of every point, (*grid,): the mean of its runs; NaN: one of them diverged."""
    right, images = _stored(problem.name)
    last: Any = right[..., -1]
    ran = last != -2
    mean = np.where(ran, last, 0).sum(0) / ran.sum(0) / images
    return np.where((last == -1).any(0), np.nan, mean)


def recorded() -> tuple[Problem, ...]:
    """Those that record_held.py has trained."""
    with np.load(HELD) as stored:
        return tuple(problem for problem in PROBLEMS if problem.name in stored)
