"""The classifiers of timm, an extra."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from torch import nn

from search.errors import SearchError, first_line, option
from search.models.base import Family, Task, extra
from search.models.images import ImageSpec

TIMM = "timm/"
"""Before the name of a model of timm, such as timm/resnet18.a1_in1k."""


class Timm(Family):
    """Every model of timm, which reads and downloads its published weights itself."""

    def has(self, model: str) -> bool:
        return model.startswith(TIMM)

    def check(self, model: str) -> None:
        """Raise SearchError, with the nearest name, if timm does not have `model` or does not know its image size."""
        timm, name = extra("timm", "timm"), model.removeprefix(TIMM)
        if not timm.is_model(name):
            raise SearchError(f"unknown model {model!r}{_nearest_of(name, timm.list_models())}")
        try:
            timm.get_pretrained_cfg(name, allow_unregistered=False)
        except RuntimeError as error:  # the tag after the dot, or no input size is known
            raise SearchError(f"{model!r} cannot be used: {error}") from None

    def image_spec(self, model: str) -> ImageSpec | None:
        cfg: Any = extra("timm", "timm").get_pretrained_cfg(model.removeprefix(TIMM))
        _, height, width = cfg.input_size
        resize = math.floor(height / cfg.crop_pct), math.floor(width / cfg.crop_pct)
        return ImageSpec(resize, (height, width), tuple(cfg.mean), tuple(cfg.std), cfg.interpolation, cfg.crop_mode)

    def build(self, model: str, task: Task) -> nn.Module:
        return _create(model, task, pretrained=False)

    def pretrained(self, model: str, task: Task) -> nn.Module:
        try:
            return _create(model, task, pretrained=True)
        except Exception as error:  # huggingface_hub raises a dozen kinds
            raise SearchError(
                f"the weights of {model} cannot be had ({first_line(error)}); name a file with "
                f'weights="path/to/file.safetensors", or go without: {option("set", "weights=scratch")}'
            ) from None


def _create(model: str, task: Task, pretrained: bool) -> nn.Module:
    create = extra("timm", "timm").create_model
    net: nn.Module = create(model.removeprefix(TIMM), pretrained=pretrained, num_classes=task.num_classes)
    return net


def _nearest_of(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {TIMM + close[0]!r}?" if close else "; timm.list_models() has them all"
