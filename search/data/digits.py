"""Handwritten digits, which scikit-learn carries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from search.data.base import Content, Item, Said, Split, stratified
from search.data.folders.listing import File


class Digits:
    """Handwritten digits, 1,797 grey images of 8 x 8 px in 10 classes, which scikit-learn carries."""

    native: ClassVar[int] = 8
    mode: ClassVar[str] = "L"
    mean: ClassVar[tuple[float, ...]] = (0.305,)
    std: ClassVar[tuple[float, ...]] = (0.376,)

    def __init__(self, root: Path) -> None:
        pass

    def files(self) -> list[File]:
        return []

    def fingerprint(self) -> str:
        return f"scikit-learn {version('scikit-learn')}"  # which divides them, too

    def splits(self) -> tuple[list[str], dict[Split, list[Item]]]:
        return [str(d) for d in range(10)], {split: list(items) for split, items in _parts().items()}

    def read(self, names: set[str]) -> Iterator[tuple[str, Content]]:
        for i, image in enumerate(_load().images):
            if str(i) in names:
                yield str(i), Image.fromarray((image * (255 / 16)).astype(np.uint8), "L")

    def said(self) -> Said:
        return Said()

    def locate(self, name: str) -> str:
        return f"sklearn.datasets.load_digits()[{name}]"


def _load() -> Any:
    from sklearn.datasets import load_digits  # late: it takes seconds to import

    return load_digits()


@cache
def _parts() -> Mapping[Split, list[Item]]:
    """The items of each split, which the doctor asks for at every point of a space."""
    labels = [int(label) for label in _load().target]
    rest, test = stratified(labels, 0.25)
    train, val = stratified([labels[i] for i in rest], 1 / 3)
    parts: dict[Split, list[int]] = {"train": [rest[i] for i in train], "val": [rest[i] for i in val], "test": test}
    return {split: [Item(str(i), labels[i]) for i in ids] for split, ids in parts.items()}
