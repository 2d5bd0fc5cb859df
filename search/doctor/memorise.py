"""Can this model learn ten images by heart?"""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from search.doctor.case import Case, Finding, spread
from search.train.learner import Learner

MEMORISED = 10
RATES = (3e-4, 3e-3, 3e-5)
STEPS = 60
SECONDS = 20.0


def check(case: Case) -> Finding:
    """Train on ten images alone until all are right: what cannot learn ten by heart cannot learn thousands.

    With Adam at up to three rates in turn, and without dropout, decay and augmentation, so that no unlucky
    setting stands in the way; the layers that the config freezes stay frozen.
    """
    rows = torch.tensor(spread(case.data()[0].labels.cpu().numpy(), MEMORISED))
    left, best, tried = SECONDS, 0, 0
    for rate in RATES:
        learner = case.plain_learner(rate)
        begin = time.monotonic()  # building the model is not counted
        end = begin + left
        right, steps = _learn_by_heart(learner, rows, end)
        left -= time.monotonic() - begin
        best, tried = max(best, right), tried + steps
        if right == len(rows):
            return Finding(
                "ok", "memorise", f"{right} of {len(rows)} images right after {steps} steps (Adam, {rate:g})"
            )
        if left <= 0:
            seen = f"{best} of {len(rows)} images right after {tried} steps; {SECONDS:.0f} s were too few to tell"
            return Finding("warn", "memorise", seen, "try it on a faster device")
    remedy = "look at the model, at the images and at what is frozen: something keeps it from learning"
    return Finding("FAIL", "memorise", f"only {best} of {len(rows)} images right after {tried} steps", remedy)


def _learn_by_heart(learner: Learner, rows: Tensor, end: float) -> tuple[int, int]:
    """Step on `rows` alone; how many of them are right in the end, and after how many steps."""
    right = 0
    for step in range(1, STEPS + 1):
        learner.begin(1)
        learner.step(rows)
        over = time.monotonic() > end
        if step % 10 == 0 or over:
            right = _right(learner, rows)
        if right == len(rows) or over:
            return right, step
    return right, STEPS


@torch.no_grad()
def _right(learner: Learner, rows: Tensor) -> int:
    model: nn.Module = learner.model
    model.eval()
    x, y = learner.data.batch(rows, learner.runtime.memory_format)
    with learner.runtime.autocast():
        return int((model(x).argmax(1) == y).sum().item())
