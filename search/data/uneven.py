"""Classes of uneven size: how much the images of each count, and how often they are drawn."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BETA = 0.999
"""Of the effective number of images, as Cui et al. use it where classes have hundreds of images."""


def class_weights(how: str, labels: Tensor, classes: int) -> Tensor | None:
    """What the loss of an image of each class is multiplied by: (classes,), float32, on the CPU; None for ``none``.

    ``balanced``: 1 over the number n of the class's images. ``effective``: 1 over their effective number,
    (1 - BETA^n) / (1 - BETA) (Cui et al., arXiv 1901.05555, equation 2), which grows more slowly than n. Over the
    images the mean weight is 1, so that a learning rate means the same. A class without images has no weight.
    """
    if how == "none":
        return None
    count = torch.bincount(labels.cpu(), minlength=classes).double()
    number = count if how == "balanced" else (1 - BETA**count) / (1 - BETA)
    weights = torch.where(count > 0, 1 / number.clamp(min=1e-12), 0.0)
    return (weights * count.sum() / (weights * count).sum()).float()


def _shuffled(labels: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(len(labels), generator=generator)


def _balanced(labels: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    count = torch.bincount(labels.cpu(), minlength=classes).double()
    return torch.multinomial((1 / count)[labels.cpu()], len(labels), replacement=True, generator=generator)


SAMPLERS: dict[str, Callable[[Tensor, int, torch.Generator], Tensor]] = {"shuffled": _shuffled, "balanced": _balanced}
"""The images of an epoch (N,) in their order: each once; or drawn with replacement, every class as often."""
