"""What a model sees of a data set: its weights' images, or the data set's own."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from statistics import median_low

from PIL import Image

from search.data.base import Source
from search.models import image_spec
from search.models.images import ImageSpec, square

LARGEST = 64
"""Pixels of the side of own images that nobody has set: larger pictures are made smaller."""
_SAMPLE = 64
"""Pictures whose size is read to know the data set's."""


def own_images(source: Source) -> ImageSpec:
    """The images of a data set as it has them, for models that take any.

    A side that the source does not set is its pictures' own: the median short side of a sample, at most LARGEST.
    """
    side = square(source.native or _native(source))
    return ImageSpec(side, side, source.mean, source.std, channels=source.mode)


def inputs(model: str, source: Source, side: int | None = None, weights: str | None = None) -> ImageSpec:
    """The images that `model` with `weights` sees of `source`; `side`: the setting `image_side`. Raises SearchError."""
    of_weights = image_spec(model, side, weights)
    if of_weights is not None:
        return of_weights
    if side is None:
        return own_images(source)
    return ImageSpec(square(side), square(side), source.mean, source.std, channels=source.mode)


_sides: dict[tuple[str, str], int] = {}
"""By kind and fingerprint of a data set; a run asks again and again."""


def _native(source: Source) -> int:
    key = type(source).__name__, source.fingerprint()
    if key not in _sides:
        names = [item.name for item in source.splits()[1]["train"]]
        sample = set(names[:: -(-len(names) // _SAMPLE)])
        shorts = [short for _, data in source.read(sample) if (short := _short(data))]
        _sides[key] = min(median_low(shorts), LARGEST) if shorts else LARGEST
    return _sides[key]


def _short(data: object) -> int:
    """Pixels of the short side; 0 if that cannot be read, which decoding will say."""
    with suppress(Exception):  # Pillow raises a dozen kinds
        if isinstance(data, Image.Image):
            return min(data.size)
        if isinstance(data, (bytes, Path)):
            with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as image:
                return min(image.size)
    return 0
