"""The classifiers of torchvision."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from search.models.base import Family, Task
from search.models.images import ImageSpec, square
from search.models.weights import downloaded

# The names of DenseNet's published files, from before torch forbade dots in the names of modules.
_LEGACY = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\.)")


class Torchvision(Family):
    """Every classifier that torchvision lists."""

    def names(self) -> Iterable[str]:
        listed: list[str] = _torchvision().list_models(module=_torchvision())
        return listed

    def image_spec(self, model: str) -> ImageSpec | None:
        preset: Any = weights_of(model).transforms()
        (resize,), (crop,) = preset.resize_size, preset.crop_size
        mean, std = tuple(preset.mean), tuple(preset.std)
        return ImageSpec(square(resize), square(crop), mean, std, preset.interpolation.value)

    def resizable(self, model: str) -> bool:
        return not model.startswith("vit_")  # their position embedding depends on the image size

    def build(self, model: str, task: Task) -> nn.Module:
        options: dict[str, Any] = {}
        # These two have auxiliary heads, which a plain cross-entropy does not train, and warn about their values.
        if model in ("googlenet", "inception_v3"):
            options = {"aux_logits": False, "init_weights": True}
        elif not self.resizable(model):
            options = {"image_size": weights_of(model).transforms().crop_size[0]}
        net: nn.Module = _torchvision().get_model(model, weights=None, num_classes=task.num_classes, **options)
        return net

    def weights_file(self, model: str) -> Path:
        return downloaded(model, weights_of(model).url)

    def rename(self, tensor: str) -> str:
        return _LEGACY.sub(r"\1\2", tensor)


def weights_of(model: str) -> Any:
    """The default weights of `model`, with their URL and their metadata."""
    weights: Any = _torchvision().get_model_weights(model)
    return getattr(weights, "DEFAULT", None) or next(iter(weights))


def _torchvision() -> Any:
    """torchvision.models."""
    import torchvision.models  # late: it takes seconds to import, and the small models need none of it

    return torchvision.models
