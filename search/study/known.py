"""Which Python files runs in this folder have used for a study. A storage is anybody's: its word alone runs no code."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from search.errors import SearchError, first_line, option, visible
from search.files.atomic import file_name, write_text

_CODE = ("model", "dataset")
"""The settings of the built-in training that may name a function of a Python file, as path/to/file.py:function."""


def files_of(settings: Mapping[str, Any]) -> set[Path]:
    """The Python files, absolute, whose functions these settings of the built-in training call."""
    texts = [value for name in _CODE if isinstance(value := settings.get(name), str)]
    return {Path(text.rpartition(":")[0]).absolute() for text in texts if ".py:" in text}


def files_in(space: Path) -> set[Path]:
    """The Python files of functions that a space file names in its text. Raises SearchError."""
    try:
        tree = ast.parse(space.read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        raise SearchError(f"{space}: {first_line(error)}") from None
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return {file for text in texts for file in files_of({"model": text})}


def remember(study: str, files: Iterable[Path]) -> None:
    """Note in the run folder of the study that a run here has used these files, absolute. Raises OSError."""
    known, more = known_to(study), {*files}
    if more - known:
        write_text(_note(study), json.dumps(sorted(map(str, known | more)), indent=1))


def known_to(study: str) -> set[Path]:
    """The files that runs in this folder have used for the study."""
    return _noted(_note(study))


def used_here() -> set[Path]:
    """The files that runs in this folder have used for any study."""
    return {path for note in Path("runs").glob("*/space/code.json") for path in _noted(note)}


def check_named(where: str, settings: Mapping[str, Any], given: Iterable[Path]) -> None:
    """Raise SearchError if `settings`, which stand in the file `where`, name Python that nobody here has chosen to run.

    `given`: the files that the user names. A file of somebody else's is data, and its word alone runs no code.
    """
    for file in sorted(files_of(settings) - used_here() - {path.absolute() for path in given}):
        said = f"{where} names code that would run as you, {visible(str(file))}, and no run in this folder has used it"
        raise SearchError(f"{said}: look at it, and name it with {option('code', file)}")


def layers_of(model: str, where: Path, given: Sequence[Path] = ()) -> str:
    """The name of the `model` that the file `where` holds; of one's own with the Python file that may run for it.

    That is the one of its name that is `given`, else the one that it was trained with, or that lies beside `where`, if
    a run in this folder has used it. Raises SearchError.
    """
    file, colon, function = model.rpartition(":")
    if not file.endswith(".py"):
        return model
    chosen = [path for path in given if path.name == Path(file).name] or [*given]
    if chosen:
        return f"{chosen[0]}{colon}{function}"
    found = Path(file) if Path(file).is_file() else where.parent / Path(file).name
    place = visible(str(where))
    if not found.is_file():
        raise SearchError(
            f"{place}: its layers are in {visible(file)}, which is not here; {option('code', 'FILE')} names it"
        )
    check_named(place, {"model": f"{found}{colon}{function}"}, ())
    return f"{found}{colon}{function}"


def _noted(note: Path) -> set[Path]:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    return {Path(path) for path in found if isinstance(path, str)} if isinstance(found, list) else set()


def _note(study: str) -> Path:
    return Path("runs") / file_name(study) / "space" / "code.json"
