"""Does the layer that names the classes train, or does a weights file fill it?"""

from __future__ import annotations

import torch
from torch import nn

from search.config import TrainConfig
from search.doctor.case import Case, Finding
from search.models import build
from search.models.weights import heads_of
from search.train.freeze import within


def check(case: Case, others: dict[str, TrainConfig]) -> Finding:
    """Find configs whose head is random and does not train; `others`: those of the space's other options, by option.

    The head is made of the modules whose shapes depend on the number of classes. It is random if two seeds
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

    def make(classes: int, seed: int, weights: str | None) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build(config.model, classes, data.channels, weights, data.size, config.hidden)

    count = len(data.classes)
    net = make(count, 0, config.weights)
    heads = heads_of(net, lambda: make(count + 1, 0, None))
    ours = dict(net.named_parameters())
    head = [name for name in ours if name.rpartition(".")[0] in heads and within(name, config.frozen)]
    if not head:
        return ""
    again = dict(make(count, 1, config.weights).named_parameters())
    return next((name for name in head if not torch.equal(ours[name], again[name])), "")
