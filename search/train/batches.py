"""A split as batches on its device: images, or what the frozen layers make of them."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from search.config import TrainConfig
from search.data import cache
from search.data.augment import Augment, centre, exact_views, fixed_view, send
from search.data.base import Split
from search.data.identity import Identity
from search.data.inputs import inputs
from search.data.reading.skipping import skips_broken
from search.data.registry import open_source
from search.models import ImageSpec, check_name
from search.models.images import Size
from search.train.device import Runtime
from search.train.frozen.activations import load as load_activations
from search.train.frozen.prefix import Cut

EVAL_BATCH = {"cpu": 128, "cuda": 512}
"""Images a step where no gradient is kept: enough for a GPU, and few enough for workers that share a memory."""

MOST = 0.5
"""Of a GPU's free memory: the model, its gradients and the other workers of the GPU need the rest."""
SLICE = 256 * 2**20
"""Bytes that are copied at a time, so that no second copy of the whole lies in the host's memory."""


class Batches(Protocol):
    """What is trained and evaluated on."""

    labels: Tensor
    """(N,), int64, on the device."""
    classes: tuple[str, ...]
    images: str
    """Where the image cache has the split."""
    identity: Identity
    """What tells the data set from others."""
    home: str
    """The device where the inputs lie: a step whose indices are elsewhere waits for them."""

    def __len__(self) -> int:
        """The number of images, N."""

    def batch(
        self, index: Tensor, memory_format: torch.memory_format, augment: Augment | None = None
    ) -> tuple[Tensor, Tensor]:
        """Inputs (B, ...) and labels (B,) for the indices (B,), on the device or the CPU."""


class Data:
    """One split on its device: uint8 pixels, turned into normalised batches where they are.

    On a GPU the whole split lies in its memory, if it fits there. Else, and on a CPU, it stays in the memory-mapped
    file.
    """

    def __init__(self, images: cache.Images, spec: ImageSpec, device: str) -> None:
        """`spec`: what the images were decoded for."""
        self.device, self.spec, self.size = device, spec, spec.crop
        self.key = f"{images.key} {spec.crop} {spec.mean} {spec.std}"
        self.classes, self.images, self.identity = images.classes, images.key, images.identity
        self._whole = images.pixels if device == "cpu" else placed(images.pixels, device, room(device))
        self.home = device if isinstance(self._whole, Tensor) else "cpu"
        self._centre = centre(self._whole, spec.crop)
        self.labels = torch.from_numpy(images.labels).to(device)
        self.channels = images.pixels.shape[3]
        mean, std = torch.tensor(spec.mean, device=device), torch.tensor(spec.std, device=device)
        self._scale = 1 / (255 * std).view(-1, 1, 1)
        self._shift = -(mean / std).view(-1, 1, 1)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(
        self, index: Tensor, memory_format: torch.memory_format, augment: Callable[[Tensor, Size], Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W), float32, normalised, and labels (B,), for the indices (B,).

        The centre square of each image, or what `augment` makes of the whole.
        """
        source = self._centre if augment is None else self._whole
        if isinstance(source, Tensor):
            index = send(index, self.device)
            pixels = source[index]
        else:
            pixels = send(torch.from_numpy(source[index.cpu().numpy()]), self.device)
            index = send(index, self.device)
        if augment is not None:
            pixels = augment(pixels, self.size)
        x = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=memory_format)
        return x.mul_(self._scale).add_(self._shift), self.labels[index]


def room(device: str) -> int:
    """Bytes that one more split may take on a GPU, what earlier trials have freed included; elsewhere any number."""
    if torch.device(device).type != "cuda":
        return sys.maxsize
    torch.cuda.empty_cache()
    return int(torch.cuda.mem_get_info(device)[0] * MOST)


def placed(values: np.ndarray[Any, Any] | Tensor, device: str, most: int) -> np.ndarray[Any, Any] | Tensor:
    """`values` (N, ...) on `device`, copied slice by slice; as they are if they take more than `most` bytes.

    What stays is a file that all workers of the host share. Each batch is then copied on its own. It stays, too, where
    other workers have taken the memory meanwhile.
    """
    size = values.nbytes
    if size > most:
        return values
    shape = tuple(values.shape)
    dtype = values.dtype if isinstance(values, Tensor) else torch.from_numpy(values[:0].copy()).dtype
    try:
        whole = torch.empty(shape, dtype=dtype, device=device)
    except torch.OutOfMemoryError:
        return values
    rows = max(1, SLICE * shape[0] // max(size, 1))
    for first in range(0, shape[0], rows):
        part = values[first : first + rows]
        whole[first : first + rows].copy_(part if isinstance(part, Tensor) else torch.from_numpy(np.array(part)))
    return whole


def default_data_root() -> Path:
    """``$SEARCH_DATA_ROOT``, by default ``data``."""
    return Path(os.environ.get("SEARCH_DATA_ROOT") or "data")


@lru_cache(maxsize=4)
def load_data(
    model: str,
    dataset: str,
    root: Path,
    device: str,
    splits: tuple[Split, ...],
    subset: int | None = None,
    side: int | None = None,
    weights: str | None = None,
    skip: bool = False,
) -> tuple[Data, ...]:
    """The splits of `dataset` as `model` wants to see them, of training `subset` images; kept from trial to trial.

    `side`: pixels of the whole image, if not as the model's `weights` were made for. `skip`: what `skips_broken` says,
    for what is kept is of one answer.
    """
    check_name(model)
    source = open_source(dataset, root)
    spec = inputs(model, source, side, weights)
    images = cache.load(source, spec, splits)
    if "train" in splits:
        images[splits.index("train")] = cache.subset(images[splits.index("train")], subset)
    if device != "cpu" and sum(split.pixels.nbytes for split in images) > room(device):
        load_data.cache_clear()  # another data set's, or another image size's
    return tuple(Data(split, spec, device) for split in images)


def load_splits(config: TrainConfig, root: Path, device: str, *splits: Split) -> tuple[Data, ...]:
    """The splits as the model of `config` wants to see them, as `load_data` keeps them."""
    how = (config.subset, config.image_side, config.weights, skips_broken())
    return load_data(config.model, config.dataset, root, device, splits, *how)


class Activations:
    """One split as the frozen prefix of a model sees it, each image in one or more views; stands in for `data`."""

    def __init__(self, values: Tensor, data: Data, views: int, channels_last: bool) -> None:
        """`values`: (views x N, ...), all images in the first view, then all in the second."""
        self.labels, self.classes, self.images, self.identity = data.labels, data.classes, data.images, data.identity
        self._values, self._views, self._channels_last = values, views, channels_last
        self.home = str(values.device)
        self._device = data.device

    def __len__(self) -> int:
        return len(self.labels)

    def batch(
        self, index: Tensor, memory_format: torch.memory_format, augment: Augment | None = None
    ) -> tuple[Tensor, Tensor]:
        """Activations (B, ...) and labels (B,); of each image the view that `augment` draws, without it the first."""
        labels = self.labels[send(index, self.labels.device)]
        if augment is not None:
            index = index + len(self) * send(augment.draw(len(index), self._views), index.device)
        values = send(self._values[index.to(self._values.device)], self._device)
        return (values.permute(0, 3, 1, 2) if self._channels_last else values), labels


def activations(
    cut: Cut, data: Data, runtime: Runtime, augment: str, views: int, seed: int, budget: int
) -> Activations:
    """`data` as `cut.prefix` sees it, in `views` views of the augmentation `augment`, from the cache or into it.

    Raises features.NoRoom if they take more than `budget` bytes.
    """

    @torch.no_grad()
    def compute(rows: range) -> Tensor:
        parts = []
        for view in range(rows.start // len(data), (rows.stop - 1) // len(data) + 1):
            first = view * len(data)
            index = torch.arange(max(rows.start - first, 0), min(rows.stop - first, len(data)))
            seen = fixed_view(augment, seed, view, int(index[0]))
            for batch in index.split(EVAL_BATCH[runtime.device]):
                x, _ = data.batch(batch, runtime.memory_format, seen)
                with runtime.autocast():
                    parts.append(cut.prefix(x))
        values = torch.cat(parts)
        return values.permute(0, 2, 3, 1) if _is_channels_last(values) else values

    with torch.no_grad(), runtime.autocast():
        one = cut.prefix(data.batch(torch.arange(1), runtime.memory_format)[0])
    like = one.permute(0, 2, 3, 1) if _is_channels_last(one) else one
    drawn = (augment, views, seed if exact_views(augment) is None else 0)
    key = hashlib.sha256(f"{data.key} {drawn} {_made_by(cut, runtime)}".encode()).hexdigest()[:32]
    values = load_activations(key, views * len(data), like, compute, budget)
    if runtime.device != "cpu":
        values = torch.as_tensor(placed(values, runtime.device, room(runtime.device)))
    return Activations(values, data, views, like is not one)


def _is_channels_last(values: Tensor) -> bool:
    if values.ndim != 4:
        return False
    return values.is_contiguous(memory_format=torch.channels_last) and not values.is_contiguous()


def _made_by(cut: Cut, runtime: Runtime) -> str:
    """What the activations depend on beside the images: the prefix's code, layers and weights, and the arithmetic."""
    where = {name: value for name, value in runtime.describe().items() if name != "threads"}
    return f"{cut.digest} {where}"
