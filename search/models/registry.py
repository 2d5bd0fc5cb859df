"""The models by name, and their families."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from search.errors import SearchError, nearest
from search.models.base import Family, Task
from search.models.custom import Custom
from search.models.efficientnet_lite import EfficientNetLite
from search.models.images import ImageSpec, Size, square
from search.models.mlp import MLP
from search.models.small import Small
from search.models.timm import Timm
from search.models.torchvision import Torchvision
from search.models.weights import given_file, load

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


def image_spec(model: str, side: int | None = None) -> ImageSpec | None:
    """The images that a model's weights were made for; None: the model takes the data set's own images.

    With `side`, in pixels, the whole square instead of its centre: networks see objects larger in training than in
    evaluation, and do better on more pixels then (Touvron et al. 2019, arXiv 1906.06423). Raises SearchError for a
    model of one size.
    """
    family = family_of(model)
    if side is not None and not family.resizable(model):
        raise SearchError(f"image_side={side}: the size of the images of {model} is fixed; leave the setting out")
    spec = family.image_spec(model)
    return spec if spec is None or side is None else spec.whole(side)


def build(
    model: str,
    num_classes: int,
    channels: int = 3,
    weights: str | None = None,
    side: int | Size = 64,
    hidden: Sequence[int] = (512, 64, 512),
) -> nn.Module:
    """Build `model` with a head for `num_classes`; its other layers from `weights`, if given.

    `channels` and `side`, in pixels, or height and width: of the images. `hidden`: mlp's widths.
    Initial values come from torch's global generator. Raises SearchError for an unknown model or unusable weights.
    """
    family = family_of(model)
    task = Task(num_classes, channels, square(side) if isinstance(side, int) else side, tuple(hidden))
    family.check(model)
    if weights == "DEFAULT":
        return family.pretrained(model, task)
    net = family.build(model, task)
    if weights is not None:
        load(net, model, given_file(weights), family.rename)
    return net


def weights_file(model: str, weights: str) -> Path:
    """The file that `weights` of `model` are read from: a path itself, DEFAULT in torch's hub folder.

    Downloads DEFAULT if it is missing. Raises SearchError with the file to put there.
    """
    return family_of(model).weights_file(model) if weights == "DEFAULT" else given_file(weights)
