"""The classifiers of torchvision."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from search.models.base import Family, Task
from search.models.images import ImageSpec, square
from search.models.weights import downloaded

# The names of DenseNet's published files, from before torch forbade dots in the names of modules.
_LEGACY = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\.)")
_POSITIONS = "encoder.pos_embedding"
"""Of a vision transformer: one vector for the class token, and one for each patch."""
_AUXILIARY = ("googlenet", "inception_v3")
"""These have auxiliary heads, which a plain cross-entropy does not train, and warn about their values.

Their published weights were trained on pixels from -1 to 1. torchvision's presets normalise otherwise, and its models
turn that into this where they are built with these weights (`transform_input`).
"""


class Torchvision(Family):
    """Every classifier that torchvision lists."""

    def names(self) -> Iterable[str]:
        listed: list[str] = _torchvision().list_models(module=_torchvision())
        return listed

    def image_spec(self, model: str, weights: str | None = None) -> ImageSpec | None:
        preset: Any = weights_of(model, weights).transforms()
        (resize,), (crop,) = preset.resize_size, preset.crop_size
        mean, std = tuple(preset.mean), tuple(preset.std)
        if model in _AUXILIARY and weights is not None:
            mean = std = (0.5, 0.5, 0.5)
        return ImageSpec(square(resize), square(crop), mean, std, preset.interpolation.value)

    def build(self, model: str, task: Task) -> nn.Module:
        options = self._options(model, task)
        net: nn.Module = _torchvision().get_model(model, weights=None, num_classes=task.num_classes, **options)
        return net

    def code(self, model: str, task: Task) -> list[str]:
        options = {"num_classes": task.num_classes} | self._options(model, task)
        words = "".join(f", {name}={value!r}" for name, value in options.items())
        return ["from torchvision import models", f'model = models.get_model("{model}"{words})']

    def _options(self, model: str, task: Task) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if model in _AUXILIARY:
            options = {"aux_logits": False, "init_weights": True}
        taken = _arguments(model) if model not in _AUXILIARY else ()
        if "image_size" in taken:  # a vision transformer has a vector for each place of a square
            options |= {"image_size": task.size[0]}
        elif "input_size" in taken:
            options |= {"input_size": task.size}
        return options

    def published(self, model: str, weights: str) -> bool:
        return weights == "DEFAULT" or weights in _torchvision().get_model_weights(model).__members__

    def weights_file(self, model: str, weights: str = "DEFAULT") -> Path:
        return downloaded(model, weights_of(model, weights).url)

    def files(self, model: str) -> Collection[str]:
        return [_file(member) for member in _torchvision().get_model_weights(model)]

    def rename(self, tensor: str) -> str:
        return _LEGACY.sub(r"\1\2", tensor)

    def fit(self, state: dict[str, Tensor], net: nn.Module) -> str:
        from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings  # late: as below

        if not isinstance(net, VisionTransformer) or _POSITIONS not in state:
            return ""
        given = state[_POSITIONS]
        if given.shape == net.encoder.pos_embedding.shape or given.shape[::2] != net.encoder.pos_embedding.shape[::2]:
            return ""
        if round((given.shape[1] - 1) ** 0.5) ** 2 != given.shape[1] - 1:  # of no square: refused as any other shape
            return ""
        state |= interpolate_embeddings(net.image_size, net.patch_size, {_POSITIONS: given})
        return f"position embedding of {given.shape[1] - 1} patches interpolated to {net.seq_length - 1}"


def weights_of(model: str, weights: str | None = None) -> Any:
    """The published weights that `weights` names, by their name or their file's; else the default ones of `model`."""
    known: Any = _torchvision().get_model_weights(model)
    if weights is not None and weights in known.__members__:
        return known[weights]
    file = Path(weights or "").name
    named = [member for member in known if _file(member) == file]
    return named[0] if named else getattr(known, "DEFAULT", None) or next(iter(known))


def _file(weights: Any) -> str:
    """The name of the file of published weights."""
    name: str = weights.url.rpartition("/")[2]
    return name


@lru_cache
def _arguments(model: str) -> frozenset[str]:
    """The names of what the model's class is built with."""
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            net = _torchvision().get_model(model, weights=None, num_classes=2)
    except NotImplementedError:  # RegNet reads the widths it computes: not on meta; it takes any size
        return frozenset()
    return frozenset(inspect.signature(type(net).__init__).parameters)


def _torchvision() -> Any:
    """torchvision.models."""
    import torchvision.models  # late: it takes seconds to import, and the small models need none of it

    return torchvision.models
