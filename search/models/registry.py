"""The models, by name: the house's own, every classifier of torchvision and of timm, and functions of one's own."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from search.errors import SearchError, nearest
from search.models.base import ImageSpec
from search.models.custom import build_own, function_of, is_file
from search.models.small import LITE, LITE_SPEC, MODELS, EfficientNetLite0, mlp
from search.models.timm import TIMM, build_timm, check_timm, timm_spec
from search.models.torchvision import options, spec_of, zoo
from search.models.weights import load, takes_any_size


def names() -> list[str]:
    """Every model that `build` knows, but for timm's and one's own."""
    return [*MODELS, "mlp", LITE, *zoo().list_models(module=zoo())]


def image_spec(model: str, side: int | None = None) -> ImageSpec | None:
    """The input that a model's weights were made for (their metadata); None: the images as they are.

    With `side`, in pixels, the whole square instead of its centre: networks see objects larger in training than in
    evaluation, and do better on more pixels then (Touvron et al. 2019, arXiv 1906.06423). Raises SearchError for a
    model that takes one size alone.
    """
    if takes_any_size(model) or (side is not None and model.startswith("vit_")):
        if side is not None:
            raise SearchError(f"image_side={side}: the size of the images of {model} is fixed; leave the setting out")
        return None
    spec = LITE_SPEC if model == LITE else timm_spec(model) if model.startswith(TIMM) else spec_of(model)
    return spec if side is None else spec._replace(resize=side, crop=side)


def build(
    model: str,
    num_classes: int,
    channels: int = 3,
    weights: str | None = None,
    side: int = 64,
    hidden: Sequence[int] = (512, 64, 512),
) -> nn.Module:
    """Build `model` with a head for `num_classes`; its other layers from `weights`, if given.

    `channels` and `side`, in pixels: of the images, for a model that takes them as they are. `hidden`: mlp's widths.
    Initial values come from torch's global generator. Raises SearchError for an unknown model or unusable weights.
    """
    check_name(model)
    if model == "mlp":
        net = mlp(num_classes, channels * side * side, hidden)
    elif model in MODELS:
        net = MODELS[model](num_classes, channels)
    elif model == LITE:
        net = EfficientNetLite0(num_classes)
    elif is_file(model):
        net = build_own(model, num_classes, channels)
    elif model.startswith(TIMM):
        return build_timm(model, num_classes, weights)
    else:
        net = zoo().get_model(model, weights=None, num_classes=num_classes, **options(model))
    if weights is not None:
        load(net, model, weights)
    return net


def set_dropout(net: nn.Module, model: str, probability: float) -> None:
    """Give every dropout layer of `net`, which `model` names, this probability of zeroing a value.

    Raises SearchError if there is none: a search over a setting that does nothing would mislead.
    """
    layers = [module for module in net.modules() if isinstance(module, _DropoutNd)]
    if not layers:
        raise SearchError(f"dropout={probability}: {model} has no dropout layer; leave the setting out")
    for layer in layers:
        layer.p = probability


def check_name(model: str) -> None:
    """Raise SearchError, with the nearest name or the list, if there is no such model."""
    if is_file(model):
        function_of(model)
    elif model.startswith(TIMM):
        check_timm(model)
    elif model not in MODELS and model not in names():
        raise SearchError(f"unknown model {model!r}{nearest(model, set(names()))}")
