"""A space and a train() that stand in no file, such as those of a notebook's cells: kept in one that workers read."""

from __future__ import annotations

import inspect
import linecache
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import cloudpickle

from search.errors import SearchError, first_line, option
from search.files.atomic import write_whole
from search.space.functions import code_of_function

SUFFIX = ".cells"

_here: dict[Path, tuple[dict[str, Any], str]] = {}
"""What this process has written: an engine in this process calls the user's own objects, and not copies of them."""


def write(path: Path, names: Mapping[str, Any]) -> None:
    """Keep at `path` the `names` that a space file would have.

    Functions of a notebook or script are kept whole, with the globals that they use as these are now, and with the
    lines of their cells for messages. Raises SearchError for what cannot be handed to another process.
    """
    try:
        packed = cloudpickle.dumps(dict(names))
    except Exception:  # of any kind, from a class of the user's
        _refuse(names)
        raise
    train = names.get("train")
    code = code_of_function(train, Path.cwd()) if train is not None else ""
    lines = {file: linecache.getlines(file) for file in [*linecache.cache] if not Path(file).is_file()}
    kept = {
        "sys_path": [folder for folder in sys.path if folder],
        "lines": lines,
        "names": packed,
        "code": code,
    }
    write_whole(path, lambda part: part.write_bytes(pickle.dumps(kept)))
    _here[path.resolve()] = dict(names), code


def _refuse(names: Mapping[str, Any]) -> None:
    """Raise SearchError for the first of the `names` that cannot be handed to another process."""
    for name, value in names.items():
        try:
            cloudpickle.dumps(value)
        except Exception as error:
            said = f"it cannot be handed to a training process ({type(error).__name__}: {first_line(error)})"
            raise SearchError(f"{option(name)}: {said}; open or build what it uses inside of it") from None


def read(path: Path) -> dict[str, Any]:
    """The names that `write` has kept at `path`; imports find the modules that they found there. Raises SearchError."""
    if (found := _here.get(path.resolve())) is not None:
        return found[0].copy()
    kept = _kept(path)
    try:
        sys.path += [folder for folder in kept["sys_path"] if folder not in sys.path]
        for file, text in kept["lines"].items():
            linecache.cache.setdefault(file, (sum(map(len, text)), None, text, file))
        names: dict[str, Any] = pickle.loads(kept["names"])  # noqa: S301
    except Exception as error:
        _again(path, error)
    return names


def code(path: Path) -> str:
    """Which code the train() is that `write` has kept at `path` (`search.space.functions`). Raises SearchError."""
    found = _here.get(path.resolve())
    return found[1] if found is not None else str(_kept(path).get("code", ""))


def _kept(path: Path) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = pickle.loads(path.read_bytes())  # noqa: S301 # code of the user's, as a space file is
    except Exception as error:
        _again(path, error)
    return kept


def _again(path: Path, error: Exception) -> NoReturn:
    """Raise SearchError: another version of Python or of a library, or a module that has gone."""
    raise SearchError(f"{path}: {type(error).__name__}: {first_line(error)}; call search.run again") from None


def source(function: Any) -> str:
    """The text of a function of the user's. Raises SearchError where there is none."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError) as error:
        raise SearchError(f"{option('space')}: its source cannot be read ({first_line(error)})") from None
