"""The images that a model takes: how a picture becomes one."""

from __future__ import annotations

from typing import Any, NamedTuple

Size = tuple[int, int]
"""Height and width, in pixels."""

FITS = ("center", "squash", "border")
"""How a picture of another shape comes to its size.

`center` keeps its proportions and cuts off what juts out; `squash` stretches it; `border` keeps its proportions and
fills what is left with the mean colour.
"""


class ImageSpec(NamedTuple):
    """The images that a model's weights were made for.

    `resize`: the size that the picture is brought to, as `fit` says; `crop`: the size of the centre cut from it.
    `mean` and `std`: one value a channel, of pixels in [0, 1]. `interpolation`: Pillow's, in lower case; Pillow always
    averages where it makes smaller (antialias). `channels`: Pillow's name for them, RGB or L.
    """

    resize: Size
    crop: Size
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bilinear"
    fit: str = "center"
    channels: str = "RGB"

    def whole(self, side: int) -> ImageSpec:
        """The whole picture as a square of `side` pixels, with nothing cut off but what juts out."""
        return self._replace(resize=(side, side), crop=(side, side))

    @property
    def kept(self) -> Size:
        """The size in which a picture is kept: all that `resize` leaves, for random crops, or more if `crop` is."""
        return max(self.resize[0], self.crop[0]), max(self.resize[1], self.crop[1])

    @property
    def fill(self) -> tuple[int, ...]:
        """The colour of what a picture does not cover, 0 to 255 a channel."""
        return tuple(round(255 * value) if self.fit == "border" else 0 for value in self.mean)

    @property
    def pixels(self) -> str:
        """All that the kept pixels depend on, for the keys of caches."""
        fill = self.fill if self.fit == "border" or self.kept != self.resize else ()
        return f"{self.channels} {self.fit} {self.resize} {self.crop} {self.interpolation} {fill}"

    def about(self) -> dict[str, Any]:
        """For the metadata of a trained model, as JSON takes it; `read_spec` reads it."""
        return {
            "size": list(self.crop),
            "channels": self.channels,
            "resize": list(self.resize),
            "fit": self.fit,
            "interpolation": self.interpolation,
            "antialias": True,
            "mean": list(self.mean),
            "std": list(self.std),
        }

    def __str__(self) -> str:
        """One line for people: 224 x 224 px, the centre of 256 x 256, bicubic."""
        cut = "" if self.resize == self.crop else f", the centre of {_size(self.resize)}"
        how = {"center": "", "squash": ", squashed", "border": ", with a border"}[self.fit]
        return f"{_size(self.crop)} px{cut}, {self.interpolation}{how}"


def read_spec(about: dict[str, Any]) -> ImageSpec:
    """What `about` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    (height, width), (high, wide) = about["resize"], about["size"]
    mean, std = (tuple(float(value) for value in about[name]) for name in ("mean", "std"))
    spec = ImageSpec(
        (int(height), int(width)),
        (int(high), int(wide)),
        mean,
        std,
        str(about["interpolation"]),
        str(about["fit"]),
        str(about["channels"]),
    )
    if spec.fit not in FITS:
        raise ValueError(f"fit={spec.fit!r}")
    return spec


def square(side: int) -> Size:
    """The size of a square."""
    return side, side


def _size(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
