"""Caltech-101: the publisher's archive, or a folder."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.data.base import Content, Item, Photographs, Split, divided, files_below, fingerprint_of, read_files
from search.data.folders.listing import File
from search.errors import SearchError, option

_ARCHIVE = "101_ObjectCategories.tar.gz"
_FOLDER = "101_ObjectCategories"


@dataclass
class Caltech101(Photographs):
    """Caltech-101 (Li, Andreeto, Ranzato and Perona, doi 10.22002/D1.20086), without its clutter class.

    Takes, under `root`/caltech101, the publisher's archive or the zip around it, the extracted folder, or
    torchvision's download. Where ``train.txt`` and ``test.txt`` lie beside it, their images are used: the
    first halved, class by class, into training and validation. Else a third each, with a fixed seed.
    """

    root: Path

    def __post_init__(self) -> None:
        home = self.root / "caltech101"
        zips = sorted(home.glob("*.zip")) if home.is_dir() else []
        candidates = [home / _FOLDER, home / _ARCHIVE, *zips, *home.glob(f"*/{_FOLDER}"), *home.glob(f"*/{_ARCHIVE}")]
        found = [path for path in candidates if path.exists()]
        if not found:
            raise SearchError(
                f"no Caltech-101 in {home}: put {_ARCHIVE} there (doi 10.22002/D1.20086), or the zip around it, or the "
                f"extracted folder; or name the folder above with {option('data_root')}"
            )
        self.source = found[0]

    def files(self) -> list[File]:
        home = self.root / "caltech101"
        archive = self.source.is_file()
        return files_below(home, [*self._listings(), *([self.source] if archive else self.source.glob("*/*"))])

    def fingerprint(self) -> str:
        return fingerprint_of(self.source, self.files())

    def _listings(self) -> list[Path]:
        """train.txt and test.txt, if both lie beside the images."""
        for folder in (self.source.parent, self.root / "caltech101"):
            listings = [folder / "train.txt", folder / "test.txt"]
            if all(path.is_file() for path in listings):
                return listings
        return []

    def splits(self) -> tuple[list[str], dict[Split, list[Item]]]:
        if self._listings():
            known, test = (self._listed(path) for path in self._listings())
            twice = next((name for name, count in Counter(known + test).items() if count > 1), None)
            if twice:
                raise SearchError(f"{self._listings()[0].parent}: {twice} stands twice in train.txt and test.txt")
        else:
            known, test = self._names(), []
        classes = sorted({name.partition("/")[0] for name in known})
        index = {label: i for i, label in enumerate(classes)}
        unknown = [name for name in test if name.partition("/")[0] not in index]
        if unknown:
            raise SearchError(f"{self._listings()[1]}: {unknown[0]}: no class of that name in train.txt")

        def items(names: list[str]) -> list[Item]:
            return [Item(name, index[name.partition("/")[0]]) for name in names]

        pool = items(known)
        tested = items(test)
        if not tested:
            pool, tested = divided(pool, 1 / 3, self.source)
        train, val = divided(pool, 0.5, self.source)
        return classes, {"train": train, "val": val, "test": tested}

    @staticmethod
    def _listed(path: Path) -> list[str]:
        lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
        return [line for line in lines if line and not line.startswith("BACKGROUND_Google/")]

    def _names(self) -> list[str]:
        if self.source.is_dir():
            paths = (path.relative_to(self.source).as_posix() for path in self.source.glob("*/*.jpg"))
            names = [name for name in paths if _is_image(name)]
        else:
            names = [name for name, _ in self._members(lambda name: False)]
        return sorted(name for name in names if not name.startswith("BACKGROUND_Google/"))

    def _members(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        """Name and content of the archive's wanted JPEGs, of others an empty one; nothing is ever unpacked to disk."""
        try:
            with ExitStack() as stack:
                raw: Any = stack.enter_context(self.source.open("rb"))
                if self.source.suffix == ".zip":
                    archive = stack.enter_context(zipfile.ZipFile(raw))
                    inner = [name for name in archive.namelist() if name.endswith(_ARCHIVE)]
                    if not inner:
                        raise SearchError(f"{self.source}: no {_ARCHIVE} in it")
                    raw = stack.enter_context(archive.open(inner[0]))
                plain = stack.enter_context(gzip.open(raw))
                tar = stack.enter_context(tarfile.open(fileobj=plain, mode="r|"))
                for member in tar:
                    _, inside, name = member.name.rpartition(f"{_FOLDER}/")
                    if inside and member.isfile() and _is_image(name):
                        yield name, _content(tar, member) if wanted(name) else b""
                while plain.read(1 << 20):  # tarfile takes a broken header for the end; gzip checks length and sum
                    pass
        except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise SearchError(f"{self.source}: the archive is damaged: {error}; download it again") from None

    def read(self, names: set[str]) -> Iterator[tuple[str, Content]]:
        if self.source.is_dir():
            return read_files(self.source, names, "train.txt or test.txt names it")
        return ((name, data) for name, data in self._members(names.__contains__) if name in names)

    def locate(self, name: str) -> str:
        return str(self.source / name)


def _is_image(name: str) -> bool:
    return name.endswith(".jpg") and not name.rpartition("/")[2].startswith("._")  # macOS leaves those


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""
