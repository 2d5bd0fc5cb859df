"""CIFAR and Fashion-MNIST: tiny files in the publishers' formats, read by torchvision."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets
from PIL import Image

from search.data import cache
from search.data.base import Split
from search.data.registry import open_source
from search.errors import SearchError

SPLITS: tuple[Split, ...] = ("train", "val", "test")
Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def noise(seed: int, count: int, *shape: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def dump(path: Path, content: object) -> str:
    """A pickle as the publisher's; its checksum."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))
    return hashlib.md5(path.read_bytes()).hexdigest()


def cifar10(root: Path, patch: pytest.MonkeyPatch) -> tuple[Pixels, Pixels]:
    """Five batches of 40 images and a test batch of 20, 10 classes in turn; torchvision is told their checksums."""
    home, kind = root / "cifar-10-batches-py", torchvision.datasets.CIFAR10
    train, test = noise(0, 200, 3 * 32 * 32), noise(1, 20, 3 * 32 * 32)
    files: list[list[str]] = []
    for i in range(5):
        batch = {"data": train[i * 40 : i * 40 + 40], "labels": [k % 10 for k in range(40)]}
        files.append([f"data_batch_{i + 1}", dump(home / f"data_batch_{i + 1}", batch)])
    test_sum = dump(home / "test_batch", {"data": test, "labels": [k % 10 for k in range(20)]})
    meta_sum = dump(home / "batches.meta", {"label_names": list("abcdefghij")})
    patch.setattr(kind, "train_list", files)
    patch.setattr(kind, "test_list", [["test_batch", test_sum]])
    patch.setattr(kind, "meta", kind.meta | {"md5": meta_sum})
    return train.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), test.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def cifar100(root: Path, patch: pytest.MonkeyPatch) -> tuple[Pixels, Pixels]:
    """Ten training images and one test image in each of 100 classes."""
    home, kind = root / "cifar-100-python", torchvision.datasets.CIFAR100
    train, test = noise(2, 1000, 3 * 32 * 32), noise(3, 100, 3 * 32 * 32)
    coarse = [0] * 1000
    sums = [
        dump(home / "train", {"data": train, "fine_labels": [k % 100 for k in range(1000)], "coarse_labels": coarse}),
        dump(home / "test", {"data": test, "fine_labels": list(range(100)), "coarse_labels": coarse[:100]}),
        dump(home / "meta", {"fine_label_names": [f"c{k:02}" for k in range(100)], "coarse_label_names": ["x"]}),
    ]
    patch.setattr(kind, "train_list", [["train", sums[0]]])
    patch.setattr(kind, "test_list", [["test", sums[1]]])
    patch.setattr(kind, "meta", kind.meta | {"md5": sums[2]})
    return train.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), test.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def idx(path: Path, values: Pixels) -> str:
    """The publisher's idx format, gzipped; its checksum."""
    head = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(head + values.tobytes()))
    return hashlib.md5(path.read_bytes()).hexdigest()


def fashion_mnist(root: Path, patch: pytest.MonkeyPatch) -> tuple[Pixels, Pixels]:
    """100 and 20 images; the gz files are unpacked by the line that the error message names."""
    raw, kind = root / "FashionMNIST" / "raw", torchvision.datasets.FashionMNIST
    train, test = noise(4, 100, 28, 28), noise(5, 20, 28, 28)
    resources = []
    for part, images in (("train", train), ("t10k", test)):
        labels = (np.arange(len(images)) % 10).astype(np.uint8)
        for name, values in ((f"{part}-images-idx3-ubyte.gz", images), (f"{part}-labels-idx1-ubyte.gz", labels)):
            resources.append((name, idx(raw / name, values)))
    patch.setattr(kind, "resources", resources)
    kind(root, download=True)  # downloads nothing: the files are there
    return train[..., None], test[..., None]


Make = Callable[[Path, pytest.MonkeyPatch], tuple[Pixels, Pixels]]
KINDS: dict[str, tuple[Make, int]] = {"cifar10": (cifar10, 10), "cifar100": (cifar100, 100)}
KINDS["fashion_mnist"] = (fashion_mnist, 10)


@pytest.mark.parametrize("name", KINDS)
def test_every_pixel_and_label_is_the_publishers(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, classes = KINDS[name]
    train, test = make(tmp_path, monkeypatch)
    loaded = cache.load(open_source(name, tmp_path), None, SPLITS)
    assert [len(part.labels) for part in loaded] == [len(train) * 9 // 10, len(train) // 10, len(test)]
    seen: set[str] = set()
    for part, split in zip(loaded, SPLITS, strict=True):
        assert len(part.classes) == classes
        assert len(set(Counter(part.labels.tolist()).values())) == 1  # as many of each class
        for image, label, called in zip(part.pixels, part.labels, part.names, strict=True):
            source, _, number = called.partition("/")
            assert source == ("test" if split == "test" else "train")
            assert np.array_equal(image, (test if source == "test" else train)[int(number)])
            assert label == int(number) % classes
        seen |= set(part.names)
    assert len(seen) == len(train) + len(test)
    assert open_source(name, tmp_path).splits() == open_source(name, tmp_path).splits()


@pytest.mark.parametrize("name", KINDS)
def test_a_model_with_a_size_of_its_own_sees_them_in_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    KINDS[name][0](tmp_path, monkeypatch)
    (val,) = cache.load(open_source(name, tmp_path), 40, ["val"])
    assert val.pixels.shape[1:] == (40, 40, 3)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cifar10", ["no CIFAR10 in", "CIFAR10('data', download=True)", "put cifar-10-python.tar.gz"]),
        ("cifar100", ["no CIFAR100 in", "CIFAR100('data', download=True)", "put cifar-100-python.tar.gz"]),
        ("fashion_mnist", ["no FashionMNIST in", "FashionMNIST('data', download=True)", "put the four .gz files"]),
        ("food101", ["no Food101 in", "Food101('data', download=True)", "put food-101.tar.gz"]),
    ],
)
def test_what_is_not_there_is_not_downloaded(name: str, says: list[str]) -> None:
    with pytest.raises(SearchError) as error:
        open_source(name, Path("data"))
    for part in [*says, "data_root="]:
        assert part in str(error.value)
    assert not Path("data").exists()


def test_a_spoilt_batch_is_not_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar10(tmp_path, monkeypatch)

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "executed",)

    dump(tmp_path / "cifar-10-batches-py" / "data_batch_3", Evil())
    with pytest.raises(SearchError, match="no CIFAR10 in"):
        open_source("cifar10", tmp_path).splits()
    assert not (tmp_path / "executed").exists()


def test_a_truncated_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fashion_mnist(tmp_path, monkeypatch)
    file = tmp_path / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(SearchError, match=r"FashionMNIST/raw: the files are damaged: .*; download them again"):
        open_source("fashion_mnist", tmp_path).splits()


def test_another_file_is_another_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fashion_mnist(tmp_path, monkeypatch)
    before = open_source("fashion_mnist", tmp_path).fingerprint()
    assert open_source("fashion_mnist", tmp_path).fingerprint() == before
    idx(tmp_path / "FashionMNIST" / "raw" / "train-labels-idx1-ubyte.gz", noise(9, 3))
    assert open_source("fashion_mnist", tmp_path).fingerprint() != before


def test_pixels_become_pictures_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, _ = fashion_mnist(tmp_path, monkeypatch)
    ((name, image),) = open_source("fashion_mnist", tmp_path).read({"train/7"})
    assert name == "train/7"
    assert isinstance(image, Image.Image)
    assert image.mode == "L"
    assert np.array_equal(np.asarray(image), train[7, ..., 0])
