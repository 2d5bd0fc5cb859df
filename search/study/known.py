"""Which Python files runs in this folder have used for a study. A storage is anybody's: its word alone runs no code."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from search.errors import SearchError, first_line
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
    try:
        found = json.loads(_note(study).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    return {Path(path) for path in found if isinstance(path, str)} if isinstance(found, list) else set()


def _note(study: str) -> Path:
    return Path("runs") / file_name(study) / "space" / "code.json"
