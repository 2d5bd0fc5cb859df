"""What a bench runs and what it says: how much of each side, and one line of its table."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `unit`: of `peer` and `ours`, medians; `peer` is None where the bar is a value and the peer was not run. `times`:
    the bar as a ratio, peer over ours (of rates, ours over peer); `at_most`: the bar as a value of ours. `note`: how
    it was measured.
    """

    what: str
    peer: float | None
    ours: float
    unit: str = "s"
    times: float | None = None
    at_most: float | None = None
    note: str = ""
    higher_is_better: bool = False

    @property
    def ratio(self) -> float:
        if self.peer is None:
            return math.nan
        return self.ours / self.peer if self.higher_is_better else self.peer / self.ours

    @property
    def bar(self) -> str:
        return f"{self.times:g} x" if self.times is not None else f"<= {self.at_most:g} {self.unit}"

    @property
    def verdict(self) -> str:
        if self.times is not None:
            return "holds" if self.ratio >= self.times else f"misses by {self.times / self.ratio:.2f} x"
        assert self.at_most is not None
        return "holds" if self.ours <= self.at_most else f"misses by {self.ours / self.at_most:.2f} x"


@dataclass(frozen=True)
class Plan:
    """How much of each side is run: what `make bench` and `make bench-quick` differ in.

    `repeats`: of the short runs. `epochs`: of ours, in one run. `most` and `few`: batches of the training and of
    the validation that the peer's epochs are measured on, of AlexNet's classifier and of others; None: all. `warm`:
    whether the peer has a batch of each before. `loaders`: numbers of loader workers to choose from for training,
    `readers`: for reading. `trials` and `study_epochs`: of the AlexNet study, 0 leaves it out; `heads`: trials of
    each study of heads. `peer_of_values`: whether the peer is run where the bar is a value of ours. `models`:
    fine-tuned, ours for so many `steps`.
    """

    repeats: int = 2
    epochs: int = 3
    most: int | None = 4
    few: int | None = 2
    warm: bool = True
    loaders: tuple[int, ...] = (0, 2)
    readers: tuple[int, ...] = (1, 2, 4)
    trials: int = 64
    study_epochs: int = 1
    heads: int = 32
    noop_trials: int = 64
    peer_of_values: bool = True
    new_actor_trials: int = 3
    models: tuple[str, ...] = ("alexnet",)
    steps: int = 5


FULL = Plan()
QUICK = Plan(
    repeats=1,
    epochs=2,
    most=3,
    warm=False,
    loaders=(0,),
    readers=(2,),
    trials=0,
    noop_trials=48,
    peer_of_values=False,
    models=(),
)
GPU = Plan(
    loaders=(4, 16),
    readers=(4, 16),
    most=None,
    few=None,
    study_epochs=10,
    models=("alexnet", "resnet50", "vit_b_16"),
    epochs=100,  # of some milliseconds each
    steps=200,
)
