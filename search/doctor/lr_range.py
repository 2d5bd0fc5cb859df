"""The learning rates at which this model learns: the range test of Smith (2017, arXiv 1506.01186, section 3.3)."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.doctor.case import PLAIN, Case, Finding
from search.files.atomic import write_whole
from search.format import plural
from search.train.learner import Learner

LOWEST, HIGHEST = 1e-6, 10.0
STEPS, FEWEST, SECONDS = 120, 40, 18.0
SMALLEST_BATCH = 16


@dataclass(frozen=True)
class Sweep:
    """The loss of each step, in nats, while the rate rises; the last may not be finite."""

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    batch: int
    planned: int = STEPS

    def smooth(self) -> NDArray[np.float64]:
        """The losses as medians of five, then means of three: one bad batch is no turn."""
        losses = np.where(np.isfinite(self.losses), self.losses, 1e9)
        padded = np.pad(losses, 2, mode="edge")
        medians = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1)
        threes = np.lib.stride_tricks.sliding_window_view(np.pad(medians, 1, mode="edge"), 3)
        return np.asarray(threes.mean(axis=1), dtype=np.float64)


@dataclass(frozen=True)
class Useful:
    """Where learning begins, where the loss is lowest, and where it is back at its start (or above all that ran)."""

    low: float
    best: float
    diverges: float


def check(case: Case, space: tuple[float, float]) -> Finding:
    """Raise the rate step by step, write lr_range.png, and compare the useful range with that of the space.

    From LOWEST to the highest of HIGHEST and the space's own, exponentially, with the config's optimizer, augmentation
    and frozen layers but a constant schedule; batches are smaller where a step takes long.
    """
    learner = case.learner(**{**PLAIN, "augment": case.config.augment})
    sweep = run(learner, case, max(HIGHEST, space[1]))
    useful = find(sweep)
    path = case.folder / "lr_range.png"
    plot(sweep, useful, space, path)
    how = f"{plural(len(sweep.rates), 'step')} of {plural(sweep.batch, 'image')}, {path}"
    if useful is None:
        seen = f"the loss falls at no rate from {sweep.rates[0]:.1g} to {sweep.rates[-1]:.2g} ({how})"
        if space[0] >= sweep.rates[-1] and len(sweep.rates) > 1 and sweep.rates[-1] < max(HIGHEST, space[1]):
            remedy = f"every trial would diverge: rates below {_round(float(sweep.rates[-1])):g}"
            return Finding("FAIL", "lr range", seen, remedy)
        if sweep.planned < STEPS:
            remedy = f"in {SECONDS:.0f} s there were too few steps to tell; a faster device shows more"
            return Finding("warn", "lr range", seen, remedy)
        return Finding("warn", "lr range", seen, "see the other lines: the model, the labels or what is frozen")
    return judge(useful, space, how)


def judge(useful: Useful, space: tuple[float, float], how: str) -> Finding:
    """Compare the space's range with the useful one."""
    low, high = space
    here = f"lr={low:.3g}" if low == high else f"the space has {low:.3g} to {high:.3g}"
    seen = f"useful {useful.low:.2g} to {useful.best:.2g}, diverges at {useful.diverges:.2g}; {here} ({how})"
    a, b = _round(useful.low), _round(useful.best)
    remedy = f"lr=Float({a:g}, {b:g}, log=True)"
    if low >= useful.diverges or (low > useful.best and low * high > useful.diverges**2):
        return Finding("FAIL", "lr range", seen, f"every trial would diverge, or nearly: {remedy}")
    if low > useful.best or high < useful.low:
        where = "above" if low > useful.best else "below"
        return Finding("warn", "lr range", seen, f"the whole range is {where} the useful one: {remedy}")
    width, shared = math.log(high / low), math.log(min(high, useful.best) / max(low, useful.low))
    wasted = math.log(max(high / useful.diverges, 1)) if low < high else 0.0
    if low < high and shared < 0.5 * math.log(useful.best / useful.low) and shared < 0.5 * width:
        return Finding("warn", "lr range", seen, f"the range misses most of the useful one: {remedy}")
    if wasted > width / 3:
        return Finding("warn", "lr range", seen, f"{wasted / width:.0%} of the range diverges: {remedy}")
    return Finding("ok", "lr range", seen)


def _round(rate: float) -> float:
    return float(f"{rate:.0e}")


def run(learner: Learner, case: Case, highest: float) -> Sweep:
    """Sweep the rate over at most SECONDS; ends where the loss is four times its start, or no number."""
    batch, steps = _affordable(case)
    rates = np.geomspace(LOWEST, highest, steps)
    factors = [group["lr"] / case.config.lr for group in learner.optimizer.param_groups]
    order = case.order()
    epochs = math.ceil(steps * batch / len(order))
    batches = order.repeat(epochs).split(batch)
    learner.begin(1)
    losses: list[float] = []
    for rate, index in zip(rates, batches, strict=False):
        for group, factor in zip(learner.optimizer.param_groups, factors, strict=True):
            group["lr"] = rate * factor
        losses.append(learner.step(index).item())
        if not math.isfinite(losses[-1]) or losses[-1] > 4 * max(losses[:5]) + 1:
            break
    return Sweep(rates[: len(losses)], np.array(losses), batch, steps)


def _affordable(case: Case) -> tuple[int, int]:
    """Images a step and steps that take about SECONDS, by the time of a few steps on a learner of their own."""
    learner = case.learner(**PLAIN)
    learner.begin(1)
    batch = min(case.config.batch_size, len(case.order()))
    small = min(SMALLEST_BATCH, batch)
    seconds = {}
    for size in (small, small, batch) if batch > small else (small, small):
        start = time.perf_counter()
        learner.step(case.order()[:size]).item()
        seconds[size] = time.perf_counter() - start
        if seconds[size] * STEPS * batch / size < SECONDS or seconds[size] * STEPS > SECONDS:
            break
    for size in (batch, batch // 2, batch // 4, batch // 8):
        nearest = max((s for s in seconds if s <= size), default=small)
        cost = seconds[nearest] * size / nearest
        if size >= small and cost * STEPS <= SECONDS:
            return size, STEPS
    return small, max(FEWEST, min(STEPS, int(SECONDS / seconds[small])))


def find(sweep: Sweep) -> Useful | None:
    """The useful range of a sweep, or None where the loss never falls by more than it wavers."""
    loss = sweep.smooth()
    first = max(len(loss) // 6, 3)
    start, waver = float(np.median(loss[:first])), float(np.std(sweep.losses[:first]))
    bottom = int(loss.argmin())
    fall = start - float(loss[bottom])
    if fall < max(0.02 * start, waver):
        return None
    above = np.flatnonzero(loss[: bottom + 1] > start - 0.05 * fall)
    low = int(above[-1]) + 1 if len(above) else 0
    back = np.flatnonzero(loss[bottom:] > start)
    diverges = sweep.rates[bottom + int(back[0])] if len(back) else sweep.rates[-1]
    return Useful(float(sweep.rates[min(low, bottom)]), float(sweep.rates[bottom]), float(diverges))


def plot(sweep: Sweep, useful: Useful | None, space: tuple[float, float], path: Path) -> None:
    """The loss over the rate, with the useful range and the space's."""
    from matplotlib.figure import Figure  # late: it takes a while to import

    figure = Figure(figsize=(8, 4.5), dpi=100, layout="constrained")
    axes = figure.subplots()
    finite = np.isfinite(sweep.losses)
    axes.semilogx(sweep.rates[finite], sweep.losses[finite], ".", color="0.7", label="loss of a step")
    smooth = sweep.smooth()
    axes.semilogx(sweep.rates, np.where(smooth < 1e8, smooth, np.nan), color="C0", label="smoothed")
    if useful is not None:
        axes.axvspan(useful.low, useful.best, color="C2", alpha=0.2, label="useful")
    for rate in set(space):
        axes.axvline(rate, color="C1", linestyle="--", label="the space's range" if rate == space[0] else None)
    top = float(np.max(sweep.losses[: max(len(finite) // 3, 1)])) * 1.5
    if math.isfinite(top):
        axes.set_ylim(0, top)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss, nats")
    axes.legend(loc="lower left")
    write_whole(path, lambda part: figure.savefig(part, format="png"))
