"""Is the first loss that of a blind guess?"""

from __future__ import annotations

import math

import torch

from search.doctor.case import PLAIN, Case, Finding, spread

FIRST_BATCH = 64


def check(case: Case) -> Finding:
    """The loss of the first step, without augmentation and label smoothing, against that of a blind guess.

    A new head knows nothing, so its cross-entropy is ln(classes) nats; far more comes of outputs that are too
    large, far less of weights that know these classes already.
    """
    learner = case.learner(**PLAIN)
    learner.begin(1)
    rows = spread(learner.data.labels.cpu().numpy(), FIRST_BATCH)
    loss, blind = learner.step(torch.tensor(rows)).item(), math.log(len(learner.data.classes))
    seen = f"{loss:.3f} nats in the first step; ln({len(learner.data.classes)}) = {blind:.3f}"
    if not math.isfinite(loss):
        return Finding("FAIL", "initial loss", seen, "look at the model's outputs: precision='fp32' may help")
    if loss > 2 * blind + 0.5:
        remedy = "the head's first outputs are too large: initialise it smaller, or normalise the images"
        return Finding("FAIL", "initial loss", seen, remedy)
    if abs(loss - blind) > 0.25 * blind + 0.1:
        high = "the head's first outputs are large: initialise it smaller"
        low = "the weights know these classes already: were they trained on these images?"
        return Finding("warn", "initial loss", seen, high if loss > blind else low)
    return Finding("ok", "initial loss", seen)
