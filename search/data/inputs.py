"""What a model sees of a data set: its weights' images, or the data set's own."""

from __future__ import annotations

from search.data.base import Source
from search.models import image_spec
from search.models.images import ImageSpec, square


def own_images(source: Source) -> ImageSpec:
    """The images of a data set as it has them, for models that take any."""
    side = square(source.native)
    return ImageSpec(side, side, source.mean, source.std, channels=source.mode)


def inputs(model: str, source: Source, side: int | None = None) -> ImageSpec:
    """The images that `model` sees of `source`; `side`: the setting `image_side`. Raises SearchError."""
    return image_spec(model, side) or own_images(source)
