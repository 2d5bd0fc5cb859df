"""The classifiers of torchvision."""

from __future__ import annotations

from typing import Any

from search.models.base import ImageSpec


def zoo() -> Any:
    """torchvision.models."""
    import torchvision.models  # late: it takes seconds to import, and the house's own models need none of it

    return torchvision.models


def spec_of(model: str) -> ImageSpec:
    """The input that the default weights of `model` were made for."""
    preset: Any = weights_of(model).transforms()
    return ImageSpec(preset.resize_size[0], preset.crop_size[0], tuple(preset.mean), tuple(preset.std))


def options(model: str) -> dict[str, Any]:
    """What torchvision is to be told when it builds `model`."""
    # These two have auxiliary heads, which a plain cross-entropy does not train, and warn about their initialisation.
    if model in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True}
    # The position embedding of a ViT depends on the image size.
    return {"image_size": spec_of(model).crop} if model.startswith("vit_") else {}


def weights_of(model: str) -> Any:
    """The weights that torchvision takes for the default of `model`, with their URL and their metadata."""
    weights: Any = zoo().get_model_weights(model)
    return getattr(weights, "DEFAULT", None) or next(iter(weights))
