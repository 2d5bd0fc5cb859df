"""The data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from search.data.base import Source
from search.data.caltech101 import Caltech101
from search.data.digits import Digits
from search.data.folders.imagefolder import ImageFolder
from search.data.folders.own import OwnData
from search.data.food101 import Food101
from search.data.torchvision import CIFAR10, CIFAR100, FashionMNIST
from search.errors import SearchError, nearest

DATASETS: dict[str, Callable[[Path], Source]] = {
    "caltech101": Caltech101,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "digits": Digits,
    "fashion_mnist": FashionMNIST,
    "food101": Food101,
}
"""Name to open(data root)."""

FOLDER = "imagefolder:"
"""Before the path of a user's own folder of pictures, from the data root or absolute."""


@lru_cache(maxsize=4)
def _opened(name: str, root: Path, here: Path) -> Source:
    return open_source(name, root)


def opened(name: str, root: Path) -> Source:
    """What `open_source` returned first since `forget_opened`, for a check: to list many files takes a while."""
    return _opened(name, root, Path.cwd())


def forget_opened() -> None:
    """Data sets may have changed: `opened` opens and lists them again."""
    _opened.cache_clear()


def open_source(name: str, root: Path) -> Source:
    """Find the data set `name` under `root`.

    Raises SearchError: an unknown name, or what to download and where to put it.
    """
    if name.startswith(FOLDER):
        folder = name.removeprefix(FOLDER)
        if ".py:" in folder:
            raise SearchError(f"dataset={name!r}: a function is named without {FOLDER} before it: dataset={folder!r}")
        if folder.partition("/")[0] == "~":
            folder = str(Path(folder).expanduser())
        return ImageFolder(root / folder)
    if ".py:" in name:
        return OwnData(name, root)
    if name not in DATASETS:
        raise SearchError(f"unknown dataset {name!r}{nearest(name, {*DATASETS, f'{FOLDER}DIR'})}")
    return DATASETS[name](root)
