"""What a trial called each validation image, and how surely: runs/<study>/answers/<trial>.npz."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from search.files.atomic import file_name, write_whole


class Answers(NamedTuple):
    """Of the N validation images, in their order.

    `labels`: (N,), their classes; `named`: (N,), what they were called; `sure`: (N,), the probability that the
    model gave that; `classes`: the classes' names; `images`: where the image cache has the pictures.
    """

    labels: NDArray[np.integer]
    named: NDArray[np.integer]
    sure: NDArray[np.floating]
    classes: tuple[str, ...]
    images: str


def place(study: str, trial: int) -> Path:
    """Where the answers of a trial lie."""
    return Path("runs") / file_name(study) / "answers" / f"{trial}.npz"


def pack(answers: Answers) -> bytes:
    """`answers` as the bytes of their file: six an image before compression, of which float16 has `sure`."""
    file = io.BytesIO()
    labels, named = (part.astype(np.uint16) for part in (answers.labels, answers.named))
    classes, images = np.array(answers.classes, dtype=np.str_), np.array(answers.images)
    sure = answers.sure.astype(np.float16)
    np.savez_compressed(file, labels=labels, named=named, sure=sure, classes=classes, images=images)
    return file.getvalue()


def write(study: str, trial: int, packed: bytes) -> None:
    """Keep what `pack` made."""
    write_whole(place(study, trial), lambda part: part.write_bytes(packed))


def read(study: str, trial: int, count: int, right: int) -> Answers | None:
    """The answers of a trial that named `right` of `count` images right.

    None if they are not there, or are another trial's: a study may be made anew under its name.
    """
    try:
        with np.load(io.BytesIO(place(study, trial).read_bytes())) as file:
            labels, named, sure = file["labels"], file["named"], file["sure"]
            answers = Answers(labels, named, sure, tuple(file["classes"].tolist()), str(file["images"]))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    fits = labels.shape == named.shape == sure.shape == (count,) and int((labels == named).sum()) == right
    return answers if fits else None
