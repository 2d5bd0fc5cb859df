"""A picture at the size in which the image cache keeps it: resized, and cut about its centre."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from search.models.images import ImageSpec, Size


def frame(image: Image.Image, spec: ImageSpec) -> NDArray[np.uint8]:
    """The picture as (H, W, C), uint8, of the size `spec.kept`; a model sees its centre, of the size `spec.crop`.

    That centre has the pixels of torchvision's presets (Resize, CenterCrop) and of timm's transforms (these, or
    ResizeKeepRatio, CenterCropOrPad) applied to the same picture of Pillow.
    """
    size = _resized(image.size[::-1], spec)
    if size != image.size[::-1]:
        image = image.resize(size[::-1], Image.Resampling[spec.interpolation.upper()])
    top, left = (_first(*sides) for sides in zip(size, spec.kept, spec.crop, strict=True))
    height, width = spec.kept
    if top or left or size != spec.kept:
        fill = spec.fill if len(spec.fill) > 1 else spec.fill[0]
        canvas = Image.new(spec.channels, (width, height), fill)
        canvas.paste(image, (-left, -top))
        image = canvas
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def centre(kept: int, crop: int) -> int:
    """The first pixel of the centre of `crop` pixels among `kept`; halves go to the even one, as torchvision's do."""
    return round((kept - crop) / 2) if kept >= crop else -((crop - kept) // 2)


def _first(pixels: int, kept: int, crop: int) -> int:
    """Where among the `pixels` of a resized side those begin that are kept; negative: there is a border before it.

    The picture's own centre must be the centre of what is kept, whatever was rounded.
    """
    return centre(pixels, crop) - centre(kept, crop)


def _resized(size: Size, spec: ImageSpec) -> Size:
    """The size that a picture of the size `size` is resized to."""
    (height, width), (high, wide) = size, spec.resize
    if spec.fit == "squash":
        return spec.resize
    if spec.fit == "center" and high == wide:  # torchvision cuts off the fraction of the long side
        short = min(size)
        return (high * height // short, wide * width // short)
    ratios = height / high, width / wide
    ratio = max(ratios) if spec.fit == "border" else min(ratios)
    return round(height / ratio), round(width / ratio)
