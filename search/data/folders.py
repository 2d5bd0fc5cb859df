"""Data sets of one picture a file: Food-101, and a user's own folders."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from PIL import Image

from search.data.base import Item, Split, fingerprint_of, read_files, stratified
from search.data.torchvision import missing
from search.errors import SearchError

_ENDINGS = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


class _Files:
    """Images that are files under `home`, called by their path from there."""

    home: Path
    native: ClassVar[int] = 64
    mode: ClassVar[str] = "RGB"
    mean: ClassVar[tuple[float, ...]] = (0.485, 0.456, 0.406)  # of ImageNet, as torchvision's weights have them
    std: ClassVar[tuple[float, ...]] = (0.229, 0.224, 0.225)

    def read(self, names: set[str]) -> Iterator[tuple[str, bytes | Image.Image]]:
        return read_files(self.home, names, "the split lists it")

    def locate(self, name: str) -> str:
        return str(self.home / name)

    def _divide(self, items: list[Item], part: float) -> tuple[list[Item], list[Item]]:
        """`items` in two, `part` of them in the second, class by class, with a fixed seed."""
        try:
            first, second = stratified([item.label for item in items], part)
        except ValueError as error:
            raise SearchError(f"{self.home}: too few images to split by class: {error}") from None
        return [items[i] for i in first], [items[i] for i in second]


@dataclass
class Food101(_Files):
    """Food-101 (Bossard, Guillaumin and Van Gool 2014), 101,000 photographs in 101 classes, as torchvision unpacks it.

    The publisher's test split, and for validation a tenth of the training split, class by class, with a fixed
    seed. Raises SearchError where `root`/food-101 is missing or its lists are broken.
    """

    root: Path

    def __post_init__(self) -> None:
        self.home = self.root / "food-101"
        if not all((self.home / part).is_dir() for part in ("meta", "images")):
            raise missing("Food101", self.home, self.root, "food-101.tar.gz")

    def fingerprint(self) -> str:
        return fingerprint_of(self.home, [*self.home.glob("meta/*.json"), *self.home.glob("images/*/*.jpg")])

    def splits(self) -> tuple[list[str], dict[Split, list[Item]]]:
        known, test = self._listed("train"), self._listed("test")
        classes = sorted(known)
        if sorted(test) != classes:
            raise SearchError(f"{self.home / 'meta'}: train.json and test.json have different classes")

        def items(listed: dict[str, list[str]]) -> list[Item]:
            return [Item(f"images/{name}.jpg", i) for i, label in enumerate(classes) for name in listed[label]]

        train, val = self._divide(items(known), 0.1)
        return classes, {"train": train, "val": val, "test": items(test)}

    def _listed(self, part: str) -> dict[str, list[str]]:
        """Class to the names of its images, ``class/number``."""
        path = self.home / "meta" / f"{part}.json"
        try:
            listed: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SearchError(f"{path}: cannot be read: {error}; unpack the archive again") from None
        return listed


def _below(folder: Path | str, depth: int) -> Iterator[str]:
    """The files in the folders of `folder`, at any depth, without asking for each what it is: the listing says it.

    Hidden ones are left out, and links to folders but for those in `folder` itself.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=depth == 0):
                yield from _below(entry.path, depth + 1)
            elif depth and entry.is_file():
                yield entry.path


@dataclass
class ImageFolder(_Files):
    """A user's own pictures, in a folder for each class.

    Where `home` has a folder ``train``, it needs ``val`` and ``test`` beside it, each with the class folders.
    Else the class folders lie in `home` itself, and their images are split 60:20:20, class by class, with a
    fixed seed. Raises SearchError for a missing folder, one without images, or a class that ``train`` has not.
    """

    home: Path

    def __post_init__(self) -> None:
        if not self.home.is_dir():
            raise SearchError(
                f"imagefolder: no folder {self.home}; it is made of class folders, or of train, val and test with "
                "class folders in each"
            )
        self.parts = [part for part in ("train", "val", "test") if (self.home / part).is_dir()]
        absent = {"train", "val", "test"} - set(self.parts)
        if "train" in self.parts and absent:
            raise SearchError(
                f"{self.home}: has a train folder, but no {' and no '.join(sorted(absent))}; it needs train, val and "
                "test, or the class folders alone"
            )
        if "train" not in self.parts:
            self.parts = []

    def _names(self, folder: Path) -> list[str]:
        """The images under `folder` in order, by their path from `home`; hidden files are left out."""
        try:
            found = [path for path in map(Path, _below(folder, 0)) if path.suffix.lower() in _ENDINGS]
        except OSError as error:
            raise SearchError(f"{error.filename}: the folder cannot be read: {error.strerror}") from None
        return sorted(path.relative_to(self.home).as_posix() for path in found)

    def fingerprint(self) -> str:
        return fingerprint_of(self.home, (self.home / name for name in self._names(self.home)))

    def splits(self) -> tuple[list[str], dict[Split, list[Item]]]:
        depth = 1 if self.parts else 0  # of the class folders
        first = self._names(self.home / "train" if self.parts else self.home)
        classes = sorted({name.split("/")[depth] for name in first})
        if not classes:
            raise SearchError(f"{self.home}: no class folders with images ({', '.join(sorted(_ENDINGS))}) in it")
        index = {label: i for i, label in enumerate(classes)}

        def items(names: list[str]) -> list[Item]:
            for name in names:
                if name.split("/")[depth] not in index:
                    raise SearchError(f"{self.home / name}: train has no class {name.split('/')[depth]!r}")
            return [Item(name, index[name.split("/")[depth]]) for name in names]

        if self.parts:
            val, test = (items(self._names(self.home / part)) for part in ("val", "test"))
            empty = next((part for part, some in (("val", val), ("test", test)) if not some), None)
            if empty:
                raise SearchError(f"{self.home / empty}: no class folders with images in it")
            return classes, {"train": items(first), "val": val, "test": test}
        rest, test = self._divide(items(first), 0.2)
        train, val = self._divide(rest, 0.25)
        return classes, {"train": train, "val": val, "test": test}
