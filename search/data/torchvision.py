"""Data sets that torchvision reads whole into memory: CIFAR-10, CIFAR-100 and Fashion-MNIST."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from search.data.base import Content, Item, Said, Split, divided, files_below, fingerprint_of
from search.data.folders.listing import File
from search.errors import SearchError, option


def missing(kind: str, home: Path, root: Path, archive: str) -> SearchError:
    """What to say where torchvision.datasets.`kind` is not in `home`: nothing is downloaded in a search."""
    line = f"from torchvision.datasets import {kind}; {kind}({str(root)!r}, download=True)"
    return SearchError(
        f'no {kind} in {home}: python -c "{line}" puts it there (offline: put {archive} first, and the same '
        f"line unpacks it); or name the folder above with {option('data_root')}"
    )


@dataclass
class _Published:
    """The publisher's test split, and for validation a tenth of the training split, class by class, with a fixed seed.

    A tenth is what He et al. (2016, arXiv 1512.03385, section 4.2) hold out of CIFAR-10. Images are called
    ``train/17`` and ``test/17``, by their place in the publisher's files. Raises SearchError where these are not
    under `root`, and, when they are read, where they are damaged.
    """

    root: Path
    folder: ClassVar[str]
    archive: ClassVar[str]
    native: ClassVar[int]
    mode: ClassVar[str]
    mean: ClassVar[tuple[float, ...]]
    std: ClassVar[tuple[float, ...]]

    def __post_init__(self) -> None:
        self.home = self.root / self.folder
        if not self.home.is_dir():
            raise self._missing()

    def _missing(self) -> SearchError:
        return missing(type(self).__name__, self.home, self.root, self.archive)

    def _open(self, train: bool) -> Any:
        """Torchvision's data set, with `data` (N, H, W[, 3]) uint8, `targets` and `classes`."""
        import torchvision.datasets  # late: it takes seconds to import

        try:
            return getattr(torchvision.datasets, type(self).__name__)(self.root, train=train)
        except Exception as error:  # a truncated file can raise almost anything
            if isinstance(error, RuntimeError) and "not found" in str(error):
                raise self._missing() from None
            raise SearchError(f"{self.home}: the files are damaged: {error}; download them again") from None

    def files(self) -> list[File]:
        return files_below(self.home, (path for path in self.home.rglob("*") if path.is_file()))

    def fingerprint(self) -> str:
        return fingerprint_of(self.home, self.files())

    def splits(self) -> tuple[list[str], dict[Split, list[Item]]]:
        known, test = self._open(train=True), self._open(train=False)
        train, val = divided(_items("train", known.targets), 0.1, self.home)
        return list(known.classes), {"train": train, "val": val, "test": _items("test", test.targets)}

    def read(self, names: set[str]) -> Iterator[tuple[str, Content]]:
        for part in ("train", "test"):
            if any(name.startswith(f"{part}/") for name in names):
                for i, pixels in enumerate(np.asarray(self._open(part == "train").data)):
                    if f"{part}/{i}" in names:
                        yield f"{part}/{i}", Image.fromarray(pixels)

    def said(self) -> Said:
        return Said()

    def locate(self, name: str) -> str:
        return f"{self.home}: {name}"


def _items(part: str, labels: Any) -> list[Item]:
    return [Item(f"{part}/{i}", int(label)) for i, label in enumerate(labels)]


class CIFAR10(_Published):
    """CIFAR-10 (Krizhevsky 2009), 60,000 images of 32 x 32 px in 10 classes; its files' checksums are verified."""

    folder: ClassVar[str] = "cifar-10-batches-py"
    archive: ClassVar[str] = "cifar-10-python.tar.gz"
    native: ClassVar[int] = 32
    mode: ClassVar[str] = "RGB"
    mean: ClassVar[tuple[float, ...]] = (0.4914, 0.4822, 0.4465)
    std: ClassVar[tuple[float, ...]] = (0.2470, 0.2435, 0.2616)


class CIFAR100(CIFAR10):
    """CIFAR-100 (Krizhevsky 2009), 60,000 images of 32 x 32 px in 100 classes; its files' checksums are verified."""

    folder: ClassVar[str] = "cifar-100-python"
    archive: ClassVar[str] = "cifar-100-python.tar.gz"
    mean: ClassVar[tuple[float, ...]] = (0.5071, 0.4865, 0.4409)
    std: ClassVar[tuple[float, ...]] = (0.2673, 0.2564, 0.2762)


class FashionMNIST(_Published):
    """Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747), 70,000 grey images of 28 x 28 px, 10 classes."""

    folder: ClassVar[str] = "FashionMNIST/raw"
    archive: ClassVar[str] = "the four .gz files"
    native: ClassVar[int] = 28
    mode: ClassVar[str] = "L"
    mean: ClassVar[tuple[float, ...]] = (0.2860,)
    std: ClassVar[tuple[float, ...]] = (0.3530,)
