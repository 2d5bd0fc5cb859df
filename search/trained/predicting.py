"""What a trained model says of pictures: decoded by all cores while the model works."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.data.base import Content
from search.data.reading.decoding import pixels_of
from search.data.reading.pictures import read_picture, warnings_counted
from search.errors import first_line, visible
from search.models.images import ImageSpec
from search.trained.classifier import Classifier
from search.trained.pictures import Pictures

CHUNK = 256
"""Pictures that are decoded together, while the model works on those before."""


class Prediction(NamedTuple):
    """Of one picture: its path, and the classes with their probabilities, the likeliest first.

    `top` is empty for a picture that cannot be read, and `unreadable` says why. `sure`: whether the first probability
    reaches the threshold that was asked for.
    """

    path: str
    top: tuple[tuple[str, float], ...] = ()
    sure: bool = True
    unreadable: str = ""
    pixels: NDArray[np.uint8] | None = None
    """As the model's image was cut from, (H, W, C), where asked for."""

    @property
    def label(self) -> str | None:
        """The likeliest class; None where the model is not sure, or the picture cannot be read."""
        return self.top[0][0] if self.top and self.sure else None

    @property
    def probability(self) -> float | None:
        """That of the likeliest class, 0 to 1; None for a picture that cannot be read."""
        return self.top[0][1] if self.top else None


def predict(
    model: Classifier, pictures: Pictures, top: int = 1, threshold: float = 0.0, pixels: bool = False
) -> Iterator[Prediction]:
    """A prediction for each picture, in their order. `pixels`: with the pixels, for a contact sheet."""
    spec = model.about.spec
    source = pictures.read()
    with ThreadPoolExecutor(os.cpu_count()) as pool, warnings_counted():
        waiting = _decoding(pool, source, spec)
        while waiting:
            chunk, waiting = [future.result() for future in waiting], _decoding(pool, source, spec)
            yield from _predicted(model, chunk, top, threshold, pixels)


class _Read(NamedTuple):
    path: str
    pixels: NDArray[np.uint8] | None
    reason: str = ""


def _decoding(pool: ThreadPoolExecutor, source: Iterator[tuple[str, Content]], spec: ImageSpec) -> list[Future[_Read]]:
    return [pool.submit(_read, path, content, spec) for path, content in islice(source, CHUNK)]


def _read(path: str, content: Content, spec: ImageSpec) -> _Read:
    try:
        data = content.read_bytes() if isinstance(content, Path) else content
        return _Read(path, pixels_of(read_picture(data).image, spec))
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError and more for broken files
        said = getattr(error, "strerror", None) or first_line(error)
        return _Read(path, None, visible(str(said)))


def _predicted(model: Classifier, chunk: list[_Read], top: int, threshold: float, keep: bool) -> Iterator[Prediction]:
    whole = [read.pixels for read in chunk if read.pixels is not None]
    logits = model.logits(np.stack(whole)) if whole else np.empty((0, len(model.about.classes)), np.float32)
    rows = iter(logits.astype(np.float64))
    for read in chunk:
        if read.pixels is None:
            yield Prediction(read.path, sure=False, unreadable=read.reason)
            continue
        row = next(rows)
        shares = np.exp(row - row.max())
        shares /= shares.sum()
        order = np.argsort(-row, kind="stable")[:top]
        found = tuple((model.about.classes[label], float(shares[label])) for label in order)
        yield Prediction(read.path, found, found[0][1] >= threshold, pixels=read.pixels if keep else None)


def right_of(predictions: list[Prediction], classes: tuple[str, ...]) -> tuple[int, int] | None:
    """How many pictures are called as the folder in which they lie, and of how many; None if a folder is no class.

    A picture that cannot be read does not count; one of which the model is not sure counts by its likeliest class.
    """
    read = [made for made in predictions if made.top]
    folders = [Path(made.path).parent.name for made in read]
    if not read or not set(folders) <= set(classes):
        return None
    return sum(made.top[0][0] == folder for made, folder in zip(read, folders, strict=True)), len(read)
