"""Food-101: the publisher's layout, as torchvision unpacks it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from search.data.base import (
    Content,
    Item,
    Photographs,
    Split,
    divided,
    files_below,
    fingerprint_of,
    read_files,
)
from search.data.folders.listing import File
from search.data.torchvision import missing
from search.errors import SearchError


@dataclass
class Food101(Photographs):
    """Food-101 (Bossard, Guillaumin and Van Gool 2014), 101,000 photographs in 101 classes, as torchvision unpacks it.

    The publisher's test split, and for validation a tenth of the training split, class by class, with a fixed
    seed. Raises SearchError where `root`/food-101 is missing or its lists are broken.
    """

    root: Path

    def __post_init__(self) -> None:
        self.home = self.root / "food-101"
        if not all((self.home / part).is_dir() for part in ("meta", "images")):
            raise missing("Food101", self.home, self.root, "food-101.tar.gz")

    def files(self) -> list[File]:
        return files_below(self.home, [*self.home.glob("meta/*.json"), *self.home.glob("images/*/*.jpg")])

    def fingerprint(self) -> str:
        return fingerprint_of(self.home, self.files())

    def splits(self) -> tuple[list[str], dict[Split, list[Item]]]:
        known, test = self._listed("train"), self._listed("test")
        classes = sorted(known)
        if sorted(test) != classes:
            raise SearchError(f"{self.home / 'meta'}: train.json and test.json have different classes")

        def items(listed: dict[str, list[str]]) -> list[Item]:
            return [Item(f"images/{name}.jpg", i) for i, label in enumerate(classes) for name in listed[label]]

        train, val = divided(items(known), 0.1, self.home)
        return classes, {"train": train, "val": val, "test": items(test)}

    def read(self, names: set[str]) -> Iterator[tuple[str, Content]]:
        return read_files(self.home, names, "the split lists it")

    def locate(self, name: str) -> str:
        return str(self.home / name)

    def _listed(self, part: str) -> dict[str, list[str]]:
        """Class to the names of its images, ``class/number``."""
        path = self.home / "meta" / f"{part}.json"
        try:
            listed: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SearchError(f"{path}: cannot be read: {error}; unpack the archive again") from None
        return listed
