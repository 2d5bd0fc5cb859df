"""What earlier studies promise of points of a new one: pure functions of places and standings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.study.start.coordinates import Place, nearness, units_of

WORST = -3.0
"""The lowest standing: so many spreads below the best of its study."""
DOUBT = 0.25
"""The quantile of a study's standings that a point has where nothing of it is near."""
APART = math.exp(-2.0)
"""The nearness of two places that are two units apart: chosen points are no nearer to each other."""
PULL = 1.0
"""How many trials at its very place outweigh that doubt by half."""


@dataclass(frozen=True)
class Past:
    """An earlier study: where its trials were, how each stood there, and how much the study counts."""

    name: str
    places: Sequence[Place]
    standing: NDArray[np.float64]
    weight: float = 1.0


def standings(completed: Sequence[float | None]) -> NDArray[np.float64]:
    """The standing of each trial: 0 of the best, -1 of the middle one of those that completed, at least WORST.

    `completed`: the value of each trial, the higher the better; None: it was pruned or diverged, and stands as the
    worst that completed.
    """
    known = np.array([math.nan if value is None else value for value in completed])
    done = known[~np.isnan(known)]
    spread = float(done.max() - np.median(done)) or 1.0
    stands = np.clip((known - done.max()) / spread, WORST, 0.0)
    found: NDArray[np.float64] = np.where(np.isnan(stands), np.nanmin(stands), stands)
    return found


def promise(past: Past, places: Sequence[Place], units: Mapping[str, float]) -> NDArray[np.float64]:
    """What a study lets expect of each place: the mean standing of its trials, the near ones' the most.

    Where few are near, it is pulled to the lower quantile DOUBT of its standings.
    """
    known = units_of(past.places)  # of what it never varied it knows nothing
    near = nearness(places, past.places, {name: unit for name, unit in units.items() if name in known})
    doubt = float(np.quantile(past.standing, DOUBT))
    found: NDArray[np.float64] = (near @ past.standing + PULL * doubt) / (near.sum(1) + PULL)
    return found


def spread_out(
    score: NDArray[np.float64], places: Sequence[Place], units: Mapping[str, float], count: int
) -> list[int]:
    """The best `count` by score of which no two are nearer than APART; the best first."""
    left, chosen = np.array(score, dtype=float), list[int]()
    while len(chosen) < count and np.isfinite(left).any():
        best = int(np.argmax(left))
        chosen.append(best)
        left[best] = -math.inf
        left[nearness(places, [places[best]], units)[:, 0] > APART] = -math.inf
    return chosen
