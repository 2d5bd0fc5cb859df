"""One batch through a model, before any trial: whether it takes the images that it will see."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import nn

from search.config import TrainConfig
from search.data.base import Source
from search.data.inputs import inputs
from search.errors import SearchError, first_line
from search.models import build
from search.train.dropout import set_dropout
from search.train.freeze import batch_norm, freeze, steps, train_mode


def check_forward(config: TrainConfig, source: Source, classes: int = 10, images: int | None = None) -> None:
    """Raise SearchError unless the model of `config`, in training mode, takes a batch of what it will see of `source`.

    `images`: of an epoch, whose smallest batch is tried; None: two images, or `batch_size` if that is one. On the meta
    device, which has shapes alone and takes no time; a model that it cannot build, or that fails there, is built on
    the CPU.
    """
    spec = inputs(config.model, source, config.image_side, config.weights)

    def made() -> tuple[nn.Module, tuple[int, ...]]:
        net = build(config.model, classes, len(spec.channels), None, spec.crop, config.hidden)
        freeze(net, config.frozen)
        set_dropout(net, config)
        train_mode(net, config.frozen)
        return net, (_smallest(net, config, images), len(spec.channels), *spec.crop)

    with torch.random.fork_rng(devices=[]):
        with suppress(Exception), torch.device("meta"):
            _forward(*made(), classes)
            return
        net, shape = made()
        try:
            _forward(net, shape, classes)
        except SearchError:
            raise
        except Exception as error:  # torch's, or the user's own code
            alone = "the last batch of an epoch has one image: " if shape[0] == 1 else ""
            size = f"{spec.crop[0]} x {spec.crop[1]} px"
            raise SearchError(
                f"{alone}{config.model} cannot take images of {size}: {type(error).__name__}: {first_line(error)}; "
                "image_side chooses another size"
            ) from None


def _smallest(net: nn.Module, config: TrainConfig, images: int | None) -> int:
    """The images of the smallest batch, at most 2."""
    count = config.batch_size + 2 if images is None else images
    taken = steps(count, config.batch_size, batch_norm(net, config.frozen))
    return min(count - (taken - 1) * config.batch_size, 2)


@torch.no_grad()
def _forward(net: nn.Module, shape: tuple[int, ...], classes: int) -> None:
    """Raise SearchError if the outputs are not (B, classes), and whatever the model raises."""
    parameter = next(iter(net.parameters()))
    out = net(torch.zeros(shape, device=parameter.device))
    if tuple(out.shape) != (shape[0], classes):
        raise SearchError(f"the model's outputs have the shape {tuple(out.shape)}; {(shape[0], classes)} is needed")
