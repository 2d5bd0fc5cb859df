"""A file as a picture: opened by Pillow, turned as its EXIF says, with 8 bits a channel."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from search.data.base import Content
from search.data.folders.listing import formats
from search.errors import first_line

NARROWEST = 100
"""How many times the short side the long one may be."""
_DEPTHS = (8, 10, 12, 14, 16)
"""Bits that cameras and detectors have, which are kept in words of 16."""
_TURNING = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
"""Where Pillow looks for the orientation, beside the tags of a TIFF; to look takes a tenth of a small file's time."""
_FLAT = 16
"""Levels of 256: a picture whose channels all span fewer shows next to nothing."""


class Picture(NamedTuple):
    """A picture with 8 bits a channel, and what was done or noticed, for the count of such pictures."""

    image: Image.Image
    remarks: tuple[str, ...] = ()


def read_picture(data: Content) -> Picture:
    """The picture in `data`, whole and upright.

    Raises OSError, SyntaxError, ValueError or another of Pillow's errors if it is broken, if its black and white cannot
    be known, or if one side is more than NARROWEST times the other.
    """
    image, remarks = _opened(data), []
    image.load()
    if image.format == "TIFF" or not image.info.keys().isdisjoint(_TURNING):
        with suppress(Exception):  # a broken EXIF turns nothing
            turned = ImageOps.exif_transpose(image) if image.getexif().get(ExifTags.Base.Orientation, 1) != 1 else image
            remarks += ["turned as their EXIF says"] if turned is not image else []
            image = turned
    if max(image.size) > NARROWEST * min(image.size):  # resized by its short side, it would take gigabytes
        raise ValueError(f"{image.width} x {image.height} px; one side is more than {NARROWEST} times the other")
    if image.mode.startswith("I"):
        image, bits = _eight_bits(image)
        remarks += [f"with {bits} bits in words of 16"] if bits < 16 else []
    elif image.mode == "F":
        raise ValueError("pixels that are fractions; save it with 8 or 16 bits a channel")
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return Picture(image, tuple(remarks))


def is_flat(pixels: NDArray[np.uint8]) -> bool:
    """Whether every channel of a picture (H, W, C) spans fewer than _FLAT levels."""
    some = pixels[:: max(len(pixels) // 8, 1), :: max(pixels.shape[1] // 8, 1), 0].ravel()
    if int(some.max()) - int(some.min()) >= _FLAT:  # of most pictures, these few show it
        return False
    return int((pixels.max((0, 1)).astype(int) - pixels.min((0, 1))).max()) < _FLAT


def _opened(data: Content) -> Image.Image:
    if isinstance(data, Exception):
        raise data
    if isinstance(data, Image.Image):
        return data
    if isinstance(data, Path):
        data = data.read_bytes()
    try:
        return Image.open(io.BytesIO(data), formats=formats())
    except UnidentifiedImageError:
        raise ValueError(_unknown(data)) from None


def _unknown(data: bytes) -> str:
    """What a file is that Pillow does not know, in words."""
    if data.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS; `git lfs pull` brings the picture itself"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF:
        return "a HEIC picture, which Pillow does not decode; save it as JPEG"
    kind = f"{len(data)} bytes that are no picture" if data else "the file is empty"
    return f"{kind}, or none that Pillow decodes"


_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""The kinds of file of ISO/IEC 23008-12, as phones write them; AV1 in such a file is AVIF, which Pillow decodes."""


def _eight_bits(image: Image.Image) -> tuple[Image.Image, int]:
    """A picture of 16-bit words scaled by the bits that it uses, and how many these are.

    They are the fewest of _DEPTHS that hold its brightest pixel. Raises ValueError for numbers beyond 16 bits.
    """
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 0xFFFF:
        raise ValueError(f"pixels from {values.min()} to {values.max()}; an image has 8 or 16 bits a channel")
    bits = next(bits for bits in _DEPTHS if values.max() < 1 << bits)
    return Image.fromarray((values >> (bits - 8)).astype(np.uint8)), bits


@contextmanager
def warnings_counted() -> Iterator[Counter[str]]:
    """Within, the warnings of Pillow do not reach the screen; the counter has them when the block has ended.

    For all threads, to be entered while no other thread enters it. A warning counts by its first line.
    """
    counts: Counter[str] = Counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", module=r"PIL(\..*)?")
        warnings.filterwarnings("always", category=Image.DecompressionBombWarning)
        try:
            yield counts
        finally:
            counts.update(first_line(item.message) for item in caught if isinstance(item.message, Warning))
