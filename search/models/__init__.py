"""The models: ``build("alexnet", 101)``; what they want to see, and where their weights are."""

from search.models.base import ImageSpec
from search.models.registry import build, check_name, image_spec, names, set_dropout
from search.models.small import LITE, MODELS
from search.models.weights import weights_file

__all__ = [
    "LITE",
    "MODELS",
    "ImageSpec",
    "build",
    "check_name",
    "image_spec",
    "names",
    "set_dropout",
    "weights_file",
]
