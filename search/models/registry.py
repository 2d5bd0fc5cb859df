"""The models by name, and their families."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn

from search.errors import SearchError, first_line, nearest
from search.models.base import Family, Task
from search.models.checkpoints import carried
from search.models.custom import Custom
from search.models.efficientnet_lite import EfficientNetLite
from search.models.images import ImageSpec, Size, square
from search.models.mlp import MLP
from search.models.small import Small
from search.models.timm import Timm
from search.models.torchvision import Torchvision
from search.models.weights import Loaded, given_file

FAMILIES: list[Family] = [Small(), MLP(), EfficientNetLite(), Custom(), Timm(), Torchvision()]
"""The first that has a name builds it; torchvision, which takes seconds to import, is asked last."""


def names() -> list[str]:
    """Every model that `build` knows, but for those of timm and custom functions."""
    return [name for family in FAMILIES for name in family.names()]


def family_of(model: str) -> Family:
    """The family of `model`. Raises SearchError with the nearest name, or the list, for an unknown one."""
    for family in FAMILIES:
        if family.has(model):
            return family
    raise SearchError(f"unknown model {model!r}{nearest(model, set(names()))}")


def check_name(model: str) -> None:
    """Raise SearchError, with the nearest name or the list, if there is no such model."""
    family_of(model).check(model)


def image_spec(model: str, side: int | None = None, weights: str | None = None) -> ImageSpec | None:
    """The images that `weights` of a model were made for; None: the model takes the data set's own images.

    A file that `search train` wrote says itself what it was trained on. With `side`, in pixels, the whole picture
    instead of its centre: networks see objects larger in training than in evaluation, and do better on more pixels
    then (Touvron et al. 2019, arXiv 1906.06423). Raises SearchError.
    """
    family = family_of(model)
    given = weights is not None and not family.published(model, weights)
    spec = (carried(given_file(weights)) if given and weights else None) or family.image_spec(model, weights)
    return spec if spec is None or side is None else spec.whole(side)


def build(
    model: str,
    num_classes: int,
    channels: int = 3,
    weights: str | None = None,
    side: int | Size | None = None,
    hidden: Sequence[int] = (512, 64, 512),
    read: Callable[[Loaded], None] | None = None,
) -> nn.Module:
    """Build `model` with a head for `num_classes`; its other layers from `weights`, if given.

    `channels` and `side`, in pixels, or height and width: of the images; by default, what the weights were made for,
    or 64 px. `hidden`: mlp's widths. `read`: called with what was read of `weights`. Initial values come from torch's
    global generator. Raises SearchError for an unknown model, unusable weights, or a size that the model cannot be
    built for.
    """
    family = family_of(model)
    family.check(model)
    if side is None:
        spec = family.image_spec(model, weights)
        side = spec.crop if spec is not None else 64
    size = square(side) if isinstance(side, int) else side
    task = Task(num_classes, channels, size, tuple(hidden))
    try:
        if weights is None:
            return family.build(model, task)
        if family.published(model, weights):
            net, loaded = family.pretrained(model, task, weights)
        else:
            net, loaded = family.loaded(model, task, given_file(weights))
    except (ValueError, AssertionError) as error:  # a vision transformer whose patches do not fill the image
        raise SearchError(f"{model} cannot take {size[0]} x {size[1]} px: {first_line(error)}") from None
    if read is not None:
        read(loaded)
    return net


def weights_file(model: str, weights: str) -> Path:
    """The file that `weights` of `model` are read from: a path itself, DEFAULT in torch's hub folder.

    Downloads published weights if they are missing. Raises SearchError with the file to put there.
    """
    family = family_of(model)
    return family.weights_file(model, weights) if family.published(model, weights) else given_file(weights)
