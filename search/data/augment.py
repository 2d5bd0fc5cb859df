"""Random changes of training batches, each image its own, reproducible by seed.

MixUp, CutMix and the random crop and flip of torchvision.transforms.v2 draw once for a whole batch; those here, written
by hand, draw for each image. RandAugment and TrivialAugmentWide are torchvision's, drawn for each image, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Beta, Gamma
from torch.nn import functional as F

from search.data.frames import centre as first
from search.models.images import Size


@contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Within, torch's global CPU generator continues `generator`; after it, dropout and all draw as if it had not."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator.get_state())
        try:
            yield
        finally:
            generator.set_state(torch.get_rng_state())


def send(tensor: Tensor, device: str | torch.device) -> Tensor:
    """`tensor` on `device`. From the CPU to a GPU, without waiting until that has done all it was given before."""
    if tensor.device.type == "cpu" and torch.device(device).type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


class Augment:
    """What `augment` names: ``flip``, ``crop_flip``, or the latter and then ``randaugment`` or ``trivialaugment``."""

    def __init__(self, kind: str, generator: torch.Generator) -> None:
        self._kind, self._generator = kind, generator
        self._policy = Policy(kind) if kind in ("randaugment", "trivialaugment") else None

    def __call__(self, pixels: Tensor, crop: Size) -> Tensor:
        """Images (B, H, W, C), uint8, cut to the height and width `crop`."""
        if self._kind == "flip":
            mirrored = send(self.draw(len(pixels), 2).bool(), pixels.device).view(-1, 1, 1, 1)
            return torch.where(mirrored, mirror(pixels, crop), centre(pixels, crop))
        with drawing_from(self._generator):
            pixels = crop_flip(pixels, crop)
            return pixels if self._policy is None else self._policy(pixels)

    def draw(self, count: int, views: int) -> Tensor:
        """Which of so many views each of `count` images is seen in: (count,), int64."""
        return torch.randint(views, (count,), generator=self._generator)


class Policy:
    """torchvision's RandAugment or TrivialAugmentWide: what it draws image by image, computed group by group.

    The images that drew the same change are changed in one call. Each gets the pixels that torchvision's own call for
    it alone would give, from the same random numbers.
    """

    def __init__(self, kind: str) -> None:
        from torchvision.transforms import v2  # late: it takes seconds to import

        self._rand = kind == "randaugment"
        self._policy: Any = (v2.RandAugment if self._rand else v2.TrivialAugmentWide)(
            interpolation=v2.InterpolationMode.BILINEAR
        )
        self._magnitudes: dict[tuple[str, int, int], list[float]] = {}

    def __call__(self, pixels: Tensor) -> Tensor:
        """Change images (B, H, W, C), uint8, in place; draws from the global generator."""
        turns = self._policy.num_ops if self._rand else 1
        drawn = [[self._draw(*pixels.shape[1:3]) for _ in range(turns)] for _ in pixels]
        for turn in range(turns):
            groups: dict[tuple[str, float], list[int]] = {}
            for row, changes in enumerate(drawn):
                groups.setdefault(changes[turn], []).append(row)
            for (name, magnitude), rows in groups.items():
                if name != "Identity":
                    index = send(torch.tensor(rows), pixels.device)
                    pixels[index] = self._changed(pixels[index].permute(0, 3, 1, 2), name, magnitude)
        return pixels

    def _changed(self, images: Tensor, name: str, magnitude: float) -> Tensor:
        how = {"interpolation": self._policy.interpolation, "fill": self._policy._fill}
        changed: Tensor = self._policy._apply_image_or_video_transform(images, name, magnitude, **how)
        return changed.permute(0, 2, 3, 1)

    def _draw(self, height: int, width: int) -> tuple[str, float]:
        """A change and its magnitude, as torchvision's `forward` draws them for one image."""
        name, (scale, signed) = self._policy._get_random_item(self._policy._AUGMENTATION_SPACE)
        key = (name, height, width)
        if key not in self._magnitudes:
            found = scale(self._policy.num_magnitude_bins, height, width)
            self._magnitudes[key] = [] if found is None else list(map(float, found))
        if not (magnitudes := self._magnitudes[key]):
            return name, 0.0
        magnitude = magnitudes[self._policy.magnitude if self._rand else int(torch.randint(len(magnitudes), ()))]
        return name, -magnitude if signed and torch.rand(()) <= 0.5 else magnitude


def make_augment(kind: str, generator: torch.Generator) -> Augment | None:
    """What `kind` names, drawing from `generator`; None for ``none``, the centre square as it is."""
    return Augment(kind, generator) if kind != "none" else None


def exact_views(augment: str) -> int | None:
    """In how many ways `augment` can show an image; None: in too many to count."""
    return {"none": 1, "flip": 2}.get(augment)


def fixed_view(augment: str, seed: int, view: int, first: int) -> Callable[[Tensor, Size], Tensor] | None:
    """What makes the view of that number of the images from `first` on; None: the centre square as it is."""
    if exact_views(augment) is not None:
        return mirror if view else None
    noise = np.random.SeedSequence([seed, view, first]).generate_state(1, np.uint64)[0]
    return Augment(augment, torch.Generator().manual_seed(int(noise) >> 1))


def centre(pixels: Any, crop: Size) -> Any:
    """The centre (B, *crop, C) of each image (B, H, W, C), a tensor or an array."""
    top, left = (first(*sides) for sides in zip(pixels.shape[1:3], crop, strict=True))
    return pixels[:, top : top + crop[0], left : left + crop[1]]


def mirror(pixels: Tensor, crop: Size) -> Tensor:
    """The centre of each image, mirrored left to right."""
    mirrored: Tensor = centre(pixels, crop).flip(2)
    return mirrored


def crop_flip(pixels: Tensor, crop: Size) -> Tensor:
    """A random part of the size `crop` from each image (B, H, W, C), every second one mirrored.

    Images that leave no margin are first padded by an eighth with black, as CIFAR's 32 pixels by 4 (He et al. 2016,
    arXiv 1512.03385, section 4.2).
    """
    if tuple(pixels.shape[1:3]) == crop:
        high, wide = (max(side // 8, 1) for side in crop)
        pixels = F.pad(pixels, (0, 0, wide, wide, high, high))
    count, height, width = pixels.shape[:3]
    rows, columns = _windows(count, height, crop[0]), _windows(count, width, crop[1])
    columns = torch.where(torch.rand(count, 1) < 0.5, columns.flip(1), columns)
    image = torch.arange(count, device=pixels.device).view(-1, 1, 1)
    return pixels[image, send(rows[:, :, None], pixels.device), send(columns[:, None, :], pixels.device)]


def _windows(count: int, pixels: int, crop: int) -> Tensor:
    """Of each of `count` images `crop` neighbouring pixels of a side of `pixels`: (count, crop)."""
    return torch.randint(pixels - crop + 1, (count, 1)) + torch.arange(crop)


class Mix:
    """Mixup (Zhang et al. 2018, arXiv 1710.09412) and CutMix (Yun et al. 2019, arXiv 1905.04899).

    With both, each image gets one or the other, by the toss of a coin.
    """

    def __init__(self, mixup: float, cutmix: float, classes: int, generator: torch.Generator) -> None:
        """`mixup` and `cutmix`: alpha of the Beta distributions, 0 for none."""
        self.mixup, self.cutmix, self.classes = mixup, cutmix, classes
        self._generator = generator

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) mixed with others of the batch; for labels (B,) the probabilities (B, classes)."""
        layout = _format(x)
        with drawing_from(self._generator):
            count = len(x)
            other = send(torch.randperm(count), x.device)
            cuts = torch.rand(count) < (0.5 if self.mixup and self.cutmix else float(self.cutmix > 0))
            kept = torch.where(cuts, _weights(self.cutmix, count), _weights(self.mixup, count))
            rows, columns = _boxes(torch.where(cuts, kept, 1.0), x.shape[2], x.shape[3])
        partners = x[other]
        share = torch.where(cuts, 1 - rows.float().mean(1) * columns.float().mean(1), kept)[:, None]
        if self.mixup:
            weight = send(torch.where(cuts, 1.0, kept).view(-1, 1, 1, 1), x.device)
            x = torch.lerp(partners, x, weight)
        if self.cutmix:
            inside = send(rows, x.device)[:, None, :, None] & send(columns, x.device)[:, None, None, :]
            x = torch.where(inside, partners, x)
        share = send(share, x.device)
        labels = F.one_hot(y, self.classes).to(x.dtype)
        return x.to(memory_format=layout), share * labels + (1 - share) * labels[other]


_SMALL = 0.1
"""With a smaller alpha torch's Beta draws one half where it shall draw 0 or 1."""


def _weights(alpha: float, count: int) -> Tensor:
    """`count` draws from Beta(alpha, alpha), float32; 1, which mixes nothing, where alpha is 0."""
    if not alpha:
        return torch.ones(count)
    alpha_ = torch.tensor(alpha, dtype=torch.float64)
    if alpha >= _SMALL:
        return Beta(alpha_, alpha_).sample((count,)).float()
    # Of Gamma(alpha) the logarithm is drawn (Devroye 1986, IX.3.5), because the draw itself is too small for a float.
    gammas = Gamma(alpha_ + 1, 1.0).sample((2, count)).log() + torch.rand(2, count, dtype=torch.float64).log() / alpha_
    return torch.sigmoid(gammas[0] - gammas[1]).float()


def _boxes(kept: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """For each image a box of 1 - `kept` of its area about a random centre, cut off at the border.

    Returns which rows (B, H) and which columns (B, W) it takes, bool.
    """
    side = (1 - kept).sqrt()[:, None]
    inside = []
    for pixels in (height, width):
        centre, half = torch.randint(pixels, (len(kept), 1)), (side * pixels / 2).floor()
        place = torch.arange(pixels)
        inside.append((place >= centre - half) & (place < centre + half))
    return inside[0], inside[1]


def _format(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
