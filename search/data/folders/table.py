"""A table of pictures: CSV or TSV with the columns path and label, and perhaps split."""

from __future__ import annotations

import csv
import io
import posixpath
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from search.data.base import Split
from search.data.folders.finding import Finder
from search.data.folders.layout import KNOWN, Layout, check_classes, class_name, some
from search.data.folders.listing import File, is_picture
from search.errors import SearchError
from search.format import plural

COLUMNS = {
    "path": (
        "path",
        "file",
        "filename",
        "file_name",
        "filepath",
        "filepaths",
        "file_path",
        "image",
        "image_path",
        "img",
    ),
    "label": ("label", "labels", "class", "class_name", "category", "target"),
    "split": ("split", "set", "subset", "partition", "data set", "data_set"),
}
"""The usual names of each column, in lower case, the plainest first."""
_NUMBERED = ("id", "image_id", "img_id", "image_name")
"""Names of a column that is the path where no other is: of pictures mostly named without their ending."""
ENDINGS = (".csv", ".tsv")
_USUAL = re.compile("image|img|picture|photo|jpe?g|png|train")
"""What is in the names of folders of pictures beside those of their labels."""
_TRIED = 100
"""Rows by which the folder is found that their paths are read from."""


class Row(NamedTuple):
    """A line of a table: where the picture is, as it stands there, and of what."""

    line: int
    path: str
    label: str
    split: Split | None


class Table(NamedTuple):
    """What a table says, and what of it is not read."""

    rows: list[Row]
    notes: list[str]


def header(data: bytes, name: str) -> tuple[list[str], str]:
    """The cells of the first line and the delimiter: of comma, semicolon and tab the one that makes most of them."""
    first = _text(data, name).lstrip().partition("\n")[0]
    order = "\t,;" if name.lower().endswith(".tsv") else ",;\t"
    delimiter = max(order, key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))
    return next(csv.reader([first.strip()], delimiter=delimiter), []), delimiter


def _text(data: bytes, name: str) -> str:
    """The text of a table, as UTF-8 or, where it says so itself, UTF-16; raises SearchError for anything else."""
    try:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SearchError(f"{name}: not UTF-8 at byte {error.start}; save the table as CSV UTF-8") from None


def columns(cells: Sequence[str], name: str) -> dict[str, int]:
    """Which cell is the path, the label and the split. Raises SearchError if two may be the same."""
    names = [cell.strip().lower() for cell in cells]
    found: dict[str, int] = {}
    for what, known in COLUMNS.items():
        places = [place for place, text in enumerate(names) if text in known]
        if what == "path" and not places:
            places = [place for place, text in enumerate(names) if text in _NUMBERED]
        exact = [place for place in places if names[place] == what]
        if len(exact or places) > 1:
            which = some(cells[place] for place in exact or places)
            raise SearchError(f"{name}: the columns {which} may all be the {what}; rename all but one")
        found |= {what: (exact or places)[0]} if places else {}
    return found


def is_table(data: bytes, name: str) -> bool:
    """Whether the first line of a file names a path and a label."""
    try:
        return {"path", "label"} <= columns(header(data, name)[0], name).keys()
    except SearchError:
        return False


def read_table(data: bytes, name: str) -> Table:
    """The rows of a table. Raises SearchError that names the line which cannot be understood."""
    cells, delimiter = header(data, name)
    places, notes = columns(cells, name), []
    if not cells:
        raise SearchError(f"{name}: the table is empty")
    bare = len(cells) in (2, 3) and is_picture(cells[0])
    if bare and not {"path", "label"} <= places.keys():
        places = dict(zip(("path", "label", "split"), range(len(cells)), strict=False))
        notes.append("the table has no header; its columns are read as path, label" + (", split" * (len(cells) > 2)))
    elif not {"path", "label"} <= places.keys():
        raise SearchError(f"{name}: its columns are {some(cells, 8)}; it needs path and label, and may have split")
    unread = [cell or "one without a name" for place, cell in enumerate(cells) if place not in places.values()]
    if unread:
        notes.append(f"columns that are not read: {some(unread)}")
    reader = csv.reader(io.StringIO(_text(data, name)), delimiter=delimiter)
    rows = []
    try:
        for count, cells_ in enumerate(reader):
            if any(cell.strip() for cell in cells_) and (bare or count):
                rows.append(_row(cells_, places, len(cells), reader.line_num, name))
    except csv.Error as error:
        raise SearchError(f"{name}, line {reader.line_num}: {error}") from None
    if not rows:
        raise SearchError(f"{name}: no line below the header")
    return Table(rows, notes)


def _row(cells: list[str], places: dict[str, int], width: int, line: int, name: str) -> Row:
    """One line of a table of `width` columns; raises SearchError for an empty cell, an unknown split, or too much."""
    if any(cell.strip() for cell in cells[width:]):
        seen = f"{len(cells)} cells, where the first line has {width}"
        raise SearchError(f"{name}, line {line}: {seen}; a text that holds the delimiter stands in quotes")
    found = {what: cells[place].strip() if place < len(cells) else "" for what, place in places.items()}
    for what in places:
        if not found[what]:
            raise SearchError(f"{name}, line {line}: no {what}")
    split = found.get("split")
    if split is not None and split.lower() not in KNOWN:
        raise SearchError(f"{name}, line {line}: unknown split {split!r}; it is train, val or test")
    return Row(line, found["path"], class_name(found["label"]), KNOWN[split.lower()] if split else None)


def arrange(table: Table, name: str, where: str, finder: Finder) -> Layout:
    """The pictures of a table that lies at `name` from the root; `where`: how a person finds it.

    Raises SearchError for files that are not there or may be in several folders, and for a picture with two labels.
    """
    layout = Layout(notes=list(table.notes))
    layout.numeric = all(row.label.isascii() and row.label.isdigit() for row in table.rows)
    own = posixpath.dirname(name)
    base, tried = _base(table.rows, name, where, finder)
    if base != own:
        layout.notes.append(f"the paths of the table are read from {_shown(base, own)}")
    seen: dict[tuple[str, str], Row] = {}
    missing = []
    for row in table.rows:
        file = _found(finder, base, row)
        if file is None:
            missing.append(row)
            continue
        _add(File(*file, row.label, row.split or ""), row, seen, layout, where)
    if missing:
        looked = some((_shown(folder, own) for folder in ([base] if base != own else tried)), 6)
        count = _missing(missing, len(table.rows))
        remedy = "write into the column path where each lies, from the table's folder"
        raise SearchError(f"{where}: {count}; looked for in {looked}; {remedy}")
    if "train" not in layout.splits and layout.splits:
        raise SearchError(f"{where}: the column split has no train")
    if len(layout.classes) < 2:
        raise SearchError(f"{where}: only one class, {some(layout.classes)}, in the training split")
    check_classes(layout, where)
    return layout


def _base(rows: Sequence[Row], name: str, where: str, finder: Finder) -> tuple[str, list[str]]:
    """The folder that the paths of the rows begin at, from the root, and all that were tried.

    That is the table's own or the root, if no other has more of the pictures; else one below; else, where no picture
    lies below, one beside that has all of them and a usual name. Raises SearchError where several have equally many and
    the table's name tells none, and for one beside that may be another data set's.
    """
    own = posixpath.dirname(name)
    few = rows[:: -(-len(rows) // _TRIED)]
    found: dict[str, list[str]] = {}
    for bases in (lambda: (own, ""), lambda: finder.below, lambda: finder.beside):
        for base in bases():
            if base not in found:
                found[base] = [file[1] for row in few if (file := _found(finder, base, row))]
        if len(max(found.values(), key=len)) == len(few):
            break
    most = max(map(len, found.values()))
    best = [base for base, files in found.items() if len(files) == most]
    if not most or best[0] in (own, ""):
        return best[0], list(found)
    best = [base for place, base in enumerate(best) if all(found[base] != found[other] for other in best[:place])]
    meant = [base for base in best if _part(base) and _part(base) == _part(name)]
    seen = f"pictures of these names are in {some(_shown(base, own) for base in best)}"
    if len(best) > 1 and len(meant) != 1:
        row = few[0]
        as_ = f"write the folder that is meant into the column path, as {_shown(best[0], own)}/{row.path}"
        raise SearchError(f"{where}: {seen}; {as_}")
    base = (meant if len(best) > 1 else best)[0]
    there = posixpath.dirname(_at(base, few[0].path.replace("\\", "/")))
    if base in finder.beside and (most < len(few) or not _USUAL.search(there.lower())):
        remedy = "if they are meant, write that folder into the column path"
        raise SearchError(f"{where}: {_missing(rows)}; {seen}; {remedy}")
    return base, list(found)


def _missing(rows: Sequence[Row], of: int | None = None) -> str:
    """That the pictures of these `rows` of so many are not there."""
    first = some(f"{row.path} (line {row.line})" for row in rows)
    return f"{len(rows):,} of {plural(of or len(rows), 'picture', 'is')} not there: {first}"


def _found(finder: Finder, base: str, row: Row) -> tuple[str, str] | None:
    """The file of a row below `base`; some programs of Windows write its path with backslashes."""
    file = finder.find(_at(base, row.path))
    if file is None and "\\" in row.path:
        file = finder.find(_at(base, row.path.replace("\\", "/")))
    return file


def _shown(folder: str, own: str) -> str:
    """A folder as it is found from `own`, that of the table."""
    return "its own folder" if folder == own else posixpath.relpath(folder or ".", own or ".")


def _part(path: str) -> str:
    """The split that the last part of a path speaks of, as train.csv and train_images do; nothing if of none."""
    words = re.findall("[a-z]+", posixpath.basename(path).lower())
    means = {KNOWN[word] for word in words if word in KNOWN}
    return means.pop() if len(means) == 1 else ""


def _add(file: File, row: Row, seen: dict[tuple[str, str], Row], layout: Layout, where: str) -> None:
    """Add a picture; a second line about it must say the same. Raises SearchError for another label."""
    labels = [seen[key] for split in ("", "train", "val", "test") if (key := (file.name, split)) in seen]
    other = next((row_ for row_ in labels if row_.label != row.label), None)
    if other:
        lines = f"lines {other.line} and {row.line}"
        raise SearchError(f"{where}: {row.path} is {other.label} and {row.label}, {lines}; a picture has one class")
    if (file.name, file.split) in seen:
        layout.left_out["named twice in the table"] += 1
        return
    seen[file.name, file.split] = row
    layout.files.append(file)


def _at(base: str, path: str) -> str:
    """A path of the table from the root, without ``.`` and ``..`` where it stays below; absolute ones as they are."""
    return posixpath.normpath(posixpath.join(base, path))


def agrees(table: Layout, folders: Layout) -> bool:
    """Whether a table and the class folders tell the same classes apart, however they call them."""
    known = {file.name: file.label for file in folders.files}
    pairs = {(file.label, known[file.name]) for file in table.files if file.name in known}
    firsts, seconds = Counter(first for first, _ in pairs), Counter(second for _, second in pairs)
    return len(firsts) == len(pairs) == len(seconds)
