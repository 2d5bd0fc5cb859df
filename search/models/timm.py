"""The classifiers of timm, an extra."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from torch import nn

from search.errors import SearchError, first_line
from search.models.base import ImageSpec, extra
from search.models.weights import load

TIMM = "timm/"
"""Before the name of a model of timm, such as timm/resnet18.a1_in1k."""


def check_timm(model: str) -> None:
    """Raise SearchError, with the nearest name, if timm has no such model or cannot say what its images are."""
    timm, name = extra("timm", "timm"), model.removeprefix(TIMM)
    if not timm.is_model(name):
        raise SearchError(f"unknown model {model!r}{_nearest_of(name, timm.list_models())}")
    try:
        timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as error:  # the tag after the dot, or no input size is known
        raise SearchError(f"{model!r} cannot be used: {error}") from None


def timm_spec(model: str) -> ImageSpec:
    """The input that the weights of `model` were made for."""
    cfg: Any = extra("timm", "timm").get_pretrained_cfg(model.removeprefix(TIMM))
    size = cfg.input_size[-1]
    return ImageSpec(int(size / cfg.crop_pct), size, tuple(cfg.mean), tuple(cfg.std))


def build_timm(model: str, num_classes: int, weights: str | None) -> nn.Module:
    """A model of timm, which reads and downloads the weights of its own; a file is read as for any other model."""
    timm = extra("timm", "timm")
    try:
        net: nn.Module = timm.create_model(
            model.removeprefix(TIMM), pretrained=weights == "DEFAULT", num_classes=num_classes
        )
    except Exception as error:  # huggingface_hub raises a dozen kinds
        if weights != "DEFAULT":
            raise
        raise SearchError(
            f"the weights of {model} cannot be had ({first_line(error)}); name a file with "
            'weights="path/to/file.safetensors", or go without: --set weights=scratch'
        ) from None
    if weights not in (None, "DEFAULT"):
        load(net, model, str(weights))
    return net


def _nearest_of(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {TIMM + close[0]!r}?" if close else "; timm.list_models() has them all"
