"""Class folders told from split folders: a listing of names to classes and splits, or a refusal that says why."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from search.data.base import Split
from search.data.folders.listing import File, Listing, ending, is_picture
from search.errors import SearchError, nearest, visible
from search.format import plural

NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""The usual names of each split, in lower case."""
KNOWN: dict[str, Split] = {name: split for split, names in NAMES.items() for name in names}
LAYOUTS = (
    "it is laid out as class folders (cat/1.jpg, dog/2.jpg); as train, val and test with class folders in each; "
    "or as a table (.csv or .tsv) with the columns path and label"
)
"""What a refusal ends with."""


@dataclass
class Layout:
    """Where the pictures of each class are, and what a user should know of how they were found."""

    files: list[File] = field(default_factory=list)
    """The pictures, each with its class, and with its split if the layout has splits."""
    notes: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    """How many files are not read, by ending or reason."""
    sources: list[File] = field(default_factory=list)
    """Other files that the classes were read from: a table."""
    numeric: bool = False
    """Whether the classes are in the order of their numbers."""

    @property
    def splits(self) -> set[str]:
        """The splits that the layout itself has."""
        return {file.split for file in self.files} - {""}

    @property
    def classes(self) -> list[str]:
        """The classes of the training split, or of all pictures where the splits are drawn."""
        found = {file.label for file in self.files if file.split in ("", "train")}
        return sorted(found, key=int) if self.numeric else sorted(found)


def class_name(text: str) -> str:
    """A class as it is shown: in one form of Unicode whatever system wrote it, on one line."""
    return visible(unicodedata.normalize("NFC", text))


def some(names: Iterable[str], count: int = 3) -> str:
    """The first names of a list, and how many more there are."""
    found = [visible(name) for name in names]
    return ", ".join(found[:count]) + (f" and {len(found) - count} more" if len(found) > count else "")


def arrange(listing: Listing, home: str) -> Layout:
    """The class folders in a listing. Raises SearchError, which begins with `home`, for what cannot be classes."""
    layout = Layout(left_out=listing.left_out.copy())
    pictures = [file for file in listing.files if is_picture(file.name)]
    others = [file for file in listing.files if not is_picture(file.name)]
    layout.left_out.update(ending(file.name) or "without ending" for file in others)
    if not pictures:
        found = f"found: {counted(layout.left_out)}" if layout.left_out else "it is empty"
        raise SearchError(f"{home}: no pictures in it ({found}); {LAYOUTS}")
    level = _Level(pictures, listing.folders, home)
    level = _unwrapped(level, layout)
    splits = _split_folders(level, layout)
    if splits:
        _with_splits(level, splits, layout)
    else:
        _classes(level, "", layout)
    _check(layout, level.where, others)
    return layout


def counted(left_out: Counter[str]) -> str:
    """How many of what, the most first: ``10 .heic, 1 hidden``."""
    return ", ".join(f"{count:,} {what}" for what, count in left_out.most_common())


class _Level:
    """The pictures below one folder; `inside`: its path from the root, with a ``/`` at its end, or nothing."""

    def __init__(self, pictures: Sequence[File], folders: Iterable[str], home: str, inside: str = "") -> None:
        self.home, self.inside, self.pictures = home, inside, pictures
        self.direct: list[File] = []
        self._groups: dict[str, list[File]] = {}
        for file in pictures:
            top, slash, _ = file.name[len(inside) :].partition("/")
            (self._groups.setdefault(top, []) if slash else self.direct).append(file)
        self._folders = [name for name in folders if name.startswith(inside)]

    @property
    def tops(self) -> list[str]:
        """The folders directly in it that have pictures at any depth."""
        return list(self._groups)

    @property
    def where(self) -> str:
        """How a person finds the folder."""
        return visible(f"{self.home}/{self.inside}".rstrip("/"))

    @property
    def empty(self) -> list[str]:
        """The folders directly in it that have no picture at any depth."""
        inner = (name[len(self.inside) :] for name in self._folders)
        return sorted(name for name in inner if "/" not in name and name not in self._groups)

    def below(self, top: str) -> _Level:
        return _Level(self._groups[top], self._folders, self.home, f"{self.inside}{top}/")


def _unwrapped(level: _Level, layout: Layout) -> _Level:
    """The folder that has the class or split folders: one that holds but a single folder of folders is passed."""
    while not level.direct and len(level.tops) == 1:
        (top,) = level.tops
        inner = level.below(top)
        splits = [name for name in (top, *level.empty) if KNOWN.get(name.lower())]
        if inner.direct or not inner.tops or "train" in map(KNOWN.get, map(str.lower, splits)):
            break
        layout.notes.append(f"the folder {inner.inside.rstrip('/')} is read, the only one with pictures")
        level = inner
    return level


def _split_folders(level: _Level, layout: Layout) -> dict[Split, str]:
    """The folders that are splits, by split; empty where the folders are classes. Raises SearchError."""
    named = {top: KNOWN[top.lower()] for top in level.tops if top.lower() in KNOWN}
    if not named:
        return _alike(level, layout)
    flat = [top for top in named if not level.below(top).tops]
    plain = [top for top in level.tops if top not in named and not level.below(top).tops]
    if flat and plain:
        raise SearchError(
            f"{level.where}: {some(flat)} is named like a split, but holds pictures as the class folders {some(plain)} "
            f"do; rename it if it is a class, or put the classes into it if it is a split"
        )
    if flat:
        raise SearchError(f"{level.where}/{flat[0]}: pictures, but no class folders; move unlabelled ones; {LAYOUTS}")
    splits: dict[Split, str] = {}
    for top, split in named.items():
        if split in splits:
            raise SearchError(f"{level.where}: {splits[split]} and {top} both mean {split}; keep one of them")
        splits[split] = top
    for top in level.empty:
        if top.lower() in KNOWN:
            raise SearchError(f"{level.where}/{top}: no class folders with pictures in it; {LAYOUTS}")
    if "train" not in splits:
        what = " and ".join(splits.values())
        raise SearchError(f"{level.where}: has {what}, but no train folder; {LAYOUTS}")
    return splits


def _alike(level: _Level, layout: Layout) -> dict[Split, str]:
    """The splits among folders that all hold folders of the same names. Raises SearchError if these tell no splits."""
    inner = {top: level.below(top) for top in level.tops}
    for top, below in inner.items():  # Intel's scenes: seg_train/seg_train/forest
        if not below.direct and len(below.tops) == 1:
            inner[top] = below.below(below.tops[0])
    names = [{class_name(name).lower() for name in below.tops} for below in inner.values() if not below.direct]
    common = set.intersection(*names) if len(names) > 1 else set()
    if len(common) < 2 or len(common) < max(map(len, names)) / 2:
        return {}
    splits: dict[Split, str] = {}
    for top in level.tops:
        means = {KNOWN[word] for word in re.findall("[a-z]+", top.lower()) if word in KNOWN}
        if len(means) == 1 and (split := means.pop()) not in splits:
            splits[split] = top
    if "train" in splits and len(splits) > 1:
        layout.notes.append(", ".join(f"{top} is read as {split}" for split, top in splits.items()))
        return splits
    raise SearchError(
        f"{level.where}: {some(level.tops)} cannot be classes, for each holds the folders {some(sorted(common))}; "
        "if those are the classes, move them to the top, or name the folders above them train, val and test"
    )


def _with_splits(level: _Level, splits: dict[Split, str], layout: Layout) -> None:
    """The classes of every split folder, what is beside them counted as left out."""
    for split, top in splits.items():
        inner = level.below(top)
        while not inner.direct and len(inner.tops) == 1 and not inner.below(inner.tops[0]).direct:
            inner = inner.below(inner.tops[0])
            layout.notes.append(f"{top}: the folder {inner.inside.rstrip('/')} is read, the only one with pictures")
        _classes(inner, split, layout)
    for top in (top for top in level.tops if top not in splits.values()):
        layout.notes.append(f"the folder {visible(top)} is not read, for it has no split's name")
        layout.left_out[f"in {visible(top)}"] += len(level.below(top).pictures)
    if level.direct:
        layout.left_out["beside the splits"] += len(level.direct)


def _classes(level: _Level, split: str, layout: Layout) -> None:
    """Add the pictures of the class folders of a level."""
    if not level.tops:
        raise SearchError(f"{level.where}: {plural(len(level.direct), 'picture')}, but no class folders; {LAYOUTS}")
    if level.direct:
        layout.left_out["beside the class folders"] += len(level.direct)
    _check_levels(level)
    nested = []
    spelled: dict[str, list[str]] = {}
    for top in level.tops:
        inner = level.below(top)
        spelled.setdefault(class_name(top), []).append(top)
        layout.files += [File(file.name, file.real, class_name(top), split) for file in inner.pictures]
        if not inner.direct and len(inner.tops) > 1:
            nested.append(f"{visible(top)} of {some(inner.tops, 2)}")
    where = f"{split}: " if split else ""
    same = [f"{name} ({len(tops)} folders)" for name, tops in spelled.items() if len(tops) > 1]
    layout.notes += [f"{where}folders whose names look the same are one class: {some(same)}"] if same else []
    if nested:
        layout.notes.append(f"{where}classes made of folders in folders: {some(nested, 2)}")
    if level.empty:
        layout.notes.append(f"{level.where}: no picture that can be read in the class folders {some(level.empty)}")


def _check_levels(level: _Level) -> None:
    """Raise SearchError if one of the folders is a data set, or holds the classes beside others with a few pictures."""
    nested = [top for top in level.tops if not (inner := level.below(top)).direct and len(inner.tops) > 1]
    for inner in map(level.below, nested):
        if len({KNOWN.get(name.lower(), "") for name in inner.tops} - {""}) > 1:
            what = f"{some(inner.tops)}, which are splits of a data set"
            raise SearchError(f"{level.where}: {inner.where} holds {what}: imagefolder:{inner.where} reads it")
    if len(nested) != 1 or len(level.tops) < 2:
        return
    inner, others = level.below(nested[0]), [top for top in level.tops if top not in nested]
    if len(inner.pictures) > len(level.pictures) / 2 and all(level.below(top).direct for top in others):
        raise SearchError(
            f"{level.where}: {visible(nested[0])} holds the folders {some(inner.tops)} and most of the pictures, and "
            f"{some(others)} none: if those are the classes, imagefolder:{inner.where} reads them; "
            f"if {visible(nested[0])} is a class, move its pictures out of its folders"
        )


def _check(layout: Layout, where: str, others: Sequence[File]) -> None:
    """Raise SearchError for classes that cannot be; note what is doubtful."""
    classes = layout.classes
    if len(classes) == 1:
        beside = Counter(ending(file.name) or "without ending" for file in others)
        more = f", and files that are not read: {counted(beside)}" if beside else ""
        raise SearchError(f"{where}: only one class, {classes[0]!r}{more}; {LAYOUTS}")
    if all(name.lower() in KNOWN for name in classes):
        raise SearchError(f"{where}: the classes would be {some(classes)}, which are names of splits; {LAYOUTS}")
    check_classes(layout, where)


def check_classes(layout: Layout, where: str) -> None:
    """Raise SearchError for a class of another split that train lacks; note classes and files that look the same."""
    classes = set(layout.classes)
    for split in ("val", "test"):
        own = {file.label for file in layout.files if file.split == split}
        unknown = sorted(own - classes)
        if unknown:
            raise SearchError(
                f"{where}: {split} has classes that train has not: {some(unknown)}{_meant(unknown, classes)}; "
                "add pictures of them to train, or take them out"
            )
        if own and own != classes:
            layout.notes.append(f"{split} has no picture of {some(sorted(classes - own))}")
    twins: dict[str, list[str]] = {}
    for name in sorted(classes):
        twins.setdefault(name.casefold().strip(), []).append(name)
    alike = [" and ".join(names) for names in twins.values() if len(names) > 1]
    if alike:
        layout.notes.append(f"classes that differ only in capitals or blanks: {some(alike)}")
    layout.notes += _twice(layout.files)


def _meant(unknown: list[str], classes: set[str]) -> str:
    """The end of the refusal of unknown classes: one that differs in capitals, or the nearest."""
    same = next((name for name in sorted(classes) if name.casefold() == unknown[0].casefold()), None)
    return f"; did you mean {same!r}?" if same else nearest(unknown[0], classes)


def _twice(files: Sequence[File]) -> list[str]:
    """Notes of files that stand in two splits or in two classes, under one name or through links."""
    seen: dict[str, File] = {}
    splits, classes = [], []
    for file in files:
        first = seen.setdefault(file.real, file)
        if first.split != file.split:
            splits.append(f"{first.name} in {first.split} and {file.split}")
        if first.label != file.label:
            classes.append(f"{first.name} in {first.label} and {file.label}")
    return [
        f"the same file stands in two {what}: {some(found, 2)}"
        for what, found in (("splits", splits), ("classes", classes))
        if found
    ]
