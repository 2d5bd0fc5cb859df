"""Can this model learn these images at all? The head, the first loss, ten images by heart."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from search.config import TrainConfig
from search.doctor.case import PLAIN, Case, Finding, spread
from search.models import build
from search.train.freeze import within
from search.train.learner import Learner

MEMORISED = 10
RATES = (3e-4, 3e-3, 3e-5)
STEPS = 60
SECONDS = 20.0
FIRST_BATCH = 64


def frozen_head(case: Case, others: dict[str, TrainConfig]) -> Finding:
    """Find configs whose head is random and does not train; `others`: those of the space's other options, by option.

    The head is made of the parameters whose shape depends on the number of classes. It is random if two seeds
    give it different values, so not where a weights file fills it. A failure where no option trains the head.
    """
    found: dict[tuple[object, ...], str] = {}

    def frozen(config: TrainConfig) -> str:
        key = (config.model, config.weights, config.frozen, config.hidden)
        if key not in found:
            found[key] = _frozen_random(case, config) if config.frozen else ""
        return found[key]

    here = frozen(case.config)
    there = {option: name for option, config in others.items() if (name := frozen(config))}
    trains = not here or any(not frozen(config) for config in others.values() if config.frozen != case.config.frozen)
    if here and not trains:
        remedy = f"leave {here.rpartition('.')[0] or here} out of frozen"
        return Finding("FAIL", "head", f"{here} is random and frozen: only the layers below it train", remedy)
    if here or there:
        where = [*([f"frozen={','.join(case.config.frozen)}"] if here else []), *there]
        seen = f"random and frozen with {', '.join(where)}: there only the layers below it train"
        return Finding("warn", "head", seen, "leave these out unless they are meant as a comparison")
    return Finding("ok", "head", "the layer that names the classes trains")


def _frozen_random(case: Case, config: TrainConfig) -> str:
    """The name of a parameter of the head that is frozen and random; empty if there is none."""
    data = case.data()[0]

    def make(classes: int, seed: int, weights: str | None) -> dict[str, Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = build(config.model, classes, data.channels, weights, data.side, config.hidden)
        return {name: parameter.detach() for name, parameter in net.named_parameters()}

    count = len(data.classes)
    ours, wider = make(count, 0, config.weights), make(count + 1, 1, None)
    head = [name for name in ours if ours[name].shape != wider[name].shape and within(name, config.frozen)]
    if not head:
        return ""
    again = make(count, 1, config.weights)
    return next((name for name in head if not torch.equal(ours[name], again[name])), "")


def initial_loss(case: Case) -> Finding:
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


def memorised(case: Case) -> Finding:
    """Train on ten images alone until all are right: what cannot learn ten by heart cannot learn thousands.

    With Adam at up to three rates in turn, and without dropout, decay and augmentation, so that no unlucky
    setting stands in the way; the layers that the config freezes stay frozen.
    """
    rows = torch.tensor(spread(case.data()[0].labels.cpu().numpy(), MEMORISED))
    left, best, tried = SECONDS, 0, 0
    for rate in RATES:
        learner = plain_learner(case, rate)
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


def plain_learner(case: Case, rate: float) -> Learner:
    """A learner without all that makes learning slower for the sake of generalising."""
    plain = dict(optimizer="adam", lr=rate, weight_decay=0.0, grad_clip=None, layer_decay=1.0, gradual_unfreeze=False)
    learner = case.learner(**PLAIN, **plain)
    for module in learner.model.modules():
        if isinstance(module, _DropoutNd):
            module.p = 0.0
    return learner


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
