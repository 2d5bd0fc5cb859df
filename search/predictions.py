"""What a trial predicted for each validation image, and how confidently: runs/<study>/answers/<trial>.npz."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from search.files.atomic import file_name, write_whole

UNREADABLE = (OSError, ValueError, KeyError, EOFError, BadZipFile)
"""What reading a file raises that is not there, is broken or holds something else."""


class Predictions(NamedTuple):
    """Of the N validation images, in their order.

    `labels`: (N,), their classes; `predicted`: (N,), the classes that the trial gave them; `confidence`: (N,), the
    probability that it gave them; `classes`: the classes' names; `images`: the key of the images in the image cache.
    """

    labels: NDArray[np.integer]
    predicted: NDArray[np.integer]
    confidence: NDArray[np.floating]
    classes: tuple[str, ...]
    images: str
    ranks: NDArray[np.integer] | None = None
    """(N,): how many classes were likelier than the true one, at most 255. None: an older version kept none."""

    @property
    def confusion(self) -> NDArray[np.int64]:
        """How many images of each class (row) are predicted as which (column): (K, K)."""
        count = len(self.classes)
        pairs = self.labels.astype(np.int64) * count + self.predicted
        return np.bincount(pairs, minlength=count * count).reshape(count, count)


def place(study: str, trial: int) -> Path:
    """The file of a trial's predictions."""
    return Path("runs") / file_name(study) / "answers" / f"{trial}.npz"


def pack(made: Predictions) -> bytes:
    """The predictions as the bytes of their file: seven an image before compression; `confidence` as float16."""
    file = io.BytesIO()
    labels, predicted = (part.astype(np.uint16) for part in (made.labels, made.predicted))
    classes, images = np.array(made.classes, dtype=np.str_), np.array(made.images)
    confidence = made.confidence.astype(np.float16)
    more = {} if made.ranks is None else {"ranks": np.minimum(made.ranks, 255).astype(np.uint8)}
    np.savez_compressed(file, labels=labels, named=predicted, sure=confidence, classes=classes, images=images, **more)
    return file.getvalue()


def write(study: str, trial: int, packed: bytes) -> None:
    """Keep what `pack` made."""
    write_whole(place(study, trial), lambda part: part.write_bytes(packed))


def read(study: str, trial: int, count: int, right: int) -> Predictions | None:
    """The predictions of a trial that got `right` of `count` images right.

    None if they are not there, or are another trial's: a study may be made anew under its name.
    """
    try:
        with np.load(io.BytesIO(place(study, trial).read_bytes())) as file:
            labels, predicted, confidence = file["labels"], file["named"], file["sure"]
            ranks = file["ranks"] if "ranks" in file.files else None
            classes, images = tuple(file["classes"].tolist()), str(file["images"])
            made = Predictions(labels, predicted, confidence, classes, images, ranks)
    except UNREADABLE:
        return None
    fits = labels.shape == predicted.shape == confidence.shape == (count,) and int((labels == predicted).sum()) == right
    return made if fits else None


def read_correct(study: str, trials: Mapping[int, tuple[int, int]]) -> dict[int, NDArray[np.uint8]]:
    """Which images each trial got right, as packed bits (ceil(N / 8),), by the trial's number.

    `trials`: number to (N, how many were right). Trials are left out as by `read`. A study of an earlier version has
    the bits alone, in runs/<study>/correct/<trial>.npy.
    """
    labels: dict[int, NDArray[np.integer]] = {}  # by checksum: nearly always those of one data set
    found = {}
    for trial, (count, right) in trials.items():
        path = place(study, trial)
        try:
            bits = _correct(path, labels)
        except UNREADABLE:
            try:
                bits = np.load(path.parent.parent / "correct" / f"{trial}.npy")
            except UNREADABLE:
                continue
        if bits.dtype == np.uint8 and bits.shape == (-(-count // 8),) and int(np.bitwise_count(bits).sum()) == right:
            found[trial] = bits
    return found


def _correct(path: Path, labels: dict[int, NDArray[np.integer]]) -> NDArray[np.uint8]:
    """A sixth of the time of `read`, for reports of 10,000 trials."""
    with ZipFile(path) as file:
        checksum = file.getinfo("labels.npy").CRC
        if checksum not in labels:
            labels[checksum] = np.lib.format.read_array(io.BytesIO(file.read("labels.npy")))
        known, content = labels[checksum], file.read("named.npy")  # of the same type, behind a header
        return np.packbits(known == np.frombuffer(content, known.dtype, offset=max(len(content) - known.nbytes, 0)))
