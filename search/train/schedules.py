"""Schedules of the learning rate: a function each, and one line in `entry_points.SCHEDULES`."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import Any, NamedTuple

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
    StepLR,
)

from search.config import TrainConfig
from search.entry_points import SCHEDULES

CUT_FRAC, RATIO = 0.1, 32
"""Of the slanted triangle: the fraction of all steps in which the rate rises, and the top rate over the lowest."""


class Schedulers(NamedTuple):
    """Torch's schedulers that make up a schedule; each changes the rates of all parameter groups by one factor."""

    between_steps: LRScheduler | None
    between_epochs: LRScheduler | None = None


def step(optimizer: Optimizer, config: TrainConfig, warm: int, total: int) -> Schedulers:
    """The rate times `gamma` after every `step_size` epochs; a warm-up runs beside it."""
    assert config.step_size is not None  # TrainConfig sees to it
    assert config.gamma is not None
    decay = StepLR(optimizer, step_size=config.step_size, gamma=config.gamma)
    return Schedulers(constant(optimizer, config, warm, total).between_steps, decay)


def constant(optimizer: Optimizer, config: TrainConfig, warm: int, total: int) -> Schedulers:
    """The same rate in every step after the warm-up."""
    return Schedulers(_rise(optimizer, warm) if warm else None)


def cosine(optimizer: Optimizer, config: TrainConfig, warm: int, total: int) -> Schedulers:
    """Half a cosine from the top to 0 (SGDR without restarts, Loshchilov and Hutter 2017, arXiv 1608.03983, eq. 5)."""
    if not warm:
        return Schedulers(CosineAnnealingLR(optimizer, total))
    return Schedulers(
        SequentialLR(optimizer, [_rise(optimizer, warm), CosineAnnealingLR(optimizer, total - warm)], [warm])
    )


def one_cycle(optimizer: Optimizer, config: TrainConfig, warm: int, total: int) -> Schedulers:
    """From lr / 25 to lr and down to lr / 250 000 (Smith and Topin 2018, arXiv 1708.07120); the momentum stays."""
    top = [group["lr"] for group in optimizer.param_groups]
    rise = max(warm, 2) / total if warm and total > 2 else 0.3  # torch divides by zero if the rise has one step
    return Schedulers(OneCycleLR(optimizer, top, total_steps=total, pct_start=rise, cycle_momentum=False))


def slanted_triangular(optimizer: Optimizer, config: TrainConfig, warm: int, total: int) -> Schedulers:
    """A short linear rise and a long linear fall.

    ULMFiT (Howard and Ruder 2018, arXiv 1801.06146), eq. 3, whose fall of cut (1 / cut_frac - 1) steps is total - cut
    where no rounding comes in.
    """
    cut = max(warm or int(total * CUT_FRAC), 1)

    def factor(t: int) -> float:
        p = t / cut if t < cut else 1 - (t - cut) / max(total - cut, 1)
        return (1 + p * (RATIO - 1)) / RATIO

    return Schedulers(LambdaLR(optimizer, factor))


def _rise(optimizer: Optimizer, warm: int) -> LRScheduler:
    """A linear rise, in step k of n = `warm` (from 0) to (k + 1) / (n + 1) (Goyal et al. 2017, arXiv 1706.02677)."""
    return LinearLR(optimizer, start_factor=1 / (warm + 1), total_iters=warm)


class Schedule:
    """The learning rates of a training run.

    `warmup_epochs` is a linear rise before or beside the schedule; of one_cycle and slanted_triangular it is the
    length of their own rise.
    """

    def __init__(self, optimizer: Optimizer, config: TrainConfig, steps: int) -> None:
        """`steps`: optimizer steps in an epoch."""
        self._left = config.epochs * steps
        warm = min(round(config.warmup_epochs * steps), self._left - 1)
        schedule = resolve_name(SCHEDULES[config.schedule])
        self._between_steps, self._between_epochs = schedule(optimizer, config, warm, self._left)

    def after_step(self) -> None:
        """To be called after every optimizer step."""
        self._left -= 1
        if self._between_steps is not None and self._left:  # after the last there is no next rate
            self._between_steps.step()

    def after_epoch(self) -> None:
        """To be called after every epoch."""
        if self._between_epochs is not None:
            self._between_epochs.step()

    def state_dict(self) -> dict[str, Any]:
        """The steps that are left, and the states of torch's schedulers."""
        both = (self._between_epochs, self._between_steps)
        return {"left": self._left, "schedulers": [each and each.state_dict() for each in both]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self._left = state["left"]
        for each, found in zip((self._between_epochs, self._between_steps), state["schedulers"], strict=True):
            if each is not None:
                each.load_state_dict(found)
