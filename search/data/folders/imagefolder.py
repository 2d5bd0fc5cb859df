"""A user's own folders of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from PIL import Image

from search.data.base import IMAGENET_MEAN, IMAGENET_STD, Item, Split, divided, fingerprint_of, read_files
from search.data.folders.listing import File, is_picture, list_folder
from search.errors import SearchError


@dataclass
class ImageFolder:
    """A user's own pictures, in a folder for each class.

    Where `home` has a folder ``train``, it needs ``val`` and ``test`` beside it, each with the class folders.
    Else the class folders lie in `home` itself, and their images are split 60:20:20, class by class, with a
    fixed seed. Raises SearchError for a missing folder, one without images, or a class that ``train`` has not.
    """

    home: Path
    native: ClassVar[int] = 64
    mode: ClassVar[str] = "RGB"
    mean: ClassVar[tuple[float, ...]] = IMAGENET_MEAN
    std: ClassVar[tuple[float, ...]] = IMAGENET_STD

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
        inside = "" if folder == self.home else f"{folder.name}/"
        return [
            f"{inside}{file.name}" for file in list_folder(folder).files if is_picture(file.name) and "/" in file.name
        ]

    def files(self) -> list[File]:
        return [file for file in list_folder(self.home).files if is_picture(file.name) and "/" in file.name]

    def fingerprint(self) -> str:
        return fingerprint_of(self.home, (self.home / file.name for file in self.files()))

    def read(self, names: set[str]) -> Iterator[tuple[str, bytes | Image.Image]]:
        return read_files(self.home, names, "the split lists it")

    def locate(self, name: str) -> str:
        return str(self.home / name)

    def splits(self) -> tuple[list[str], dict[Split, list[Item]]]:
        depth = 1 if self.parts else 0  # of the class folders
        first = self._names(self.home / "train" if self.parts else self.home)
        classes = sorted({name.split("/")[depth] for name in first})
        if not classes:
            raise SearchError(f"{self.home}: no class folders with images in it")
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
        rest, test = divided(items(first), 0.2, self.home)
        train, val = divided(rest, 0.25, self.home)
        return classes, {"train": train, "val": val, "test": test}
