"""The models: ``build("alexnet", 101)``; the images that they take, and the files of their weights."""

from search.models.images import ImageSpec
from search.models.registry import build, check_name, image_spec, names, weights_file
from search.models.small import MODELS

__all__ = ["MODELS", "ImageSpec", "build", "check_name", "image_spec", "names", "weights_file"]
