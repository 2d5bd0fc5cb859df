"""The classifiers of timm, an extra."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from search.errors import SearchError, first_line, option
from search.models.base import Family, Task, extra
from search.models.checkpoints import digest_of
from search.models.images import ImageSpec, Size
from search.models.weights import Loaded, heads_of, within

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

    def image_spec(self, model: str, weights: str | None = None) -> ImageSpec | None:
        cfg: Any = extra("timm", "timm").get_pretrained_cfg(model.removeprefix(TIMM))
        _, height, width = cfg.input_size
        resize = math.floor(height / cfg.crop_pct), math.floor(width / cfg.crop_pct)
        return ImageSpec(resize, (height, width), tuple(cfg.mean), tuple(cfg.std), cfg.interpolation, cfg.crop_mode)

    def files(self, model: str) -> Collection[str]:
        cfg: Any = extra("timm", "timm").get_pretrained_cfg(model.removeprefix(TIMM))
        return [(cfg.url or "").rpartition("/")[2]]

    def build(self, model: str, task: Task) -> nn.Module:
        return _create(model, task, pretrained=False)

    def code(self, model: str, task: Task) -> list[str]:
        name = model.removeprefix(TIMM)
        words = "".join(f", {word}={value!r}" for word, value in _sized(name, task.size).items())
        return ["import timm", f'model = timm.create_model("{name}", num_classes={task.num_classes}{words})']

    def fit(self, state: dict[str, Tensor], net: nn.Module) -> str:
        own = net.state_dict()
        resample = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
        if resample is None or all(name in own and own[name].shape == value.shape for name, value in state.items()):
            return ""
        before = {name: value.shape for name, value in state.items()}
        brought = resample(dict(state), net)
        state.clear()
        state.update(brought)
        changed = [name for name, value in state.items() if before.get(name) not in (None, value.shape)]
        return f"timm brought {', '.join(changed)} to the size of the images" if changed else ""

    def pretrained(self, model: str, task: Task, weights: str = "DEFAULT") -> tuple[nn.Module, Loaded]:
        try:
            net = _create(model, task, pretrained=True)
        except Exception as error:  # huggingface_hub raises a dozen kinds
            raise SearchError(
                f"the weights of {model} cannot be had ({first_line(error)}); name a file with "
                f'weights="path/to/file.safetensors", or go without: {option("set", "weights=scratch")}'
            ) from None
        heads = heads_of(net, lambda: self.wider(model, task))
        state = {name: value for name, value in net.state_dict().items() if not within(name, heads)}
        return net, Loaded(f"{model}: its published weights, but for the last layer", digest_of(state))


def _create(model: str, task: Task, pretrained: bool) -> nn.Module:
    create, name = extra("timm", "timm").create_model, model.removeprefix(TIMM)
    net: nn.Module = create(name, pretrained=pretrained, num_classes=task.num_classes, **_sized(name, task.size))
    return net


@lru_cache
def _sized(name: str, size: Size) -> dict[str, Size]:
    """The argument by which timm builds a model for images of another size; nothing where it takes any."""
    timm = extra("timm", "timm")
    if tuple(timm.get_pretrained_cfg(name).input_size[1:]) == size:
        return {}
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            timm.create_model(name, pretrained=False, img_size=size)
    except TypeError:  # a convolutional network has no such argument
        return {}
    except Exception:  # what does not fit the size says so when it is built
        pass
    return {"img_size": size}


def _nearest_of(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {TIMM + close[0]!r}?" if close else "; timm.list_models() has them all"
