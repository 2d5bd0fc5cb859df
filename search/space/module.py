"""A space file as a module of this process, under a name by which the processes it starts can import it, too."""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from search.errors import SearchError
from search.files import streams

_SOURCE = "__search_source__"
"""The bytes that a space file's module was made from."""
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_at: Path | None = None
"""The folder of the space file that was loaded last; it leads the import path."""
_strangers: set[str] = set()
"""The modules that this process had before it."""


class _Loader(SourceFileLoader):
    """Compiles what the file says: the bytecode kept of it may be older, if it was edited within a second."""

    def get_code(self, fullname: str) -> CodeType:
        try:
            return compile(self.get_data(self.path), self.path, "exec", dont_inherit=True)
        except ValueError as error:  # what Python says of null bytes before 3.11.4
            raise SyntaxError(str(error)) from None


@contextmanager
def as_script(path: Path | str) -> Iterator[None]:
    """Code of the space file at `path` sees no words of the program that runs it: `parse_args()` gives its defaults.

    Its standard output and error are its own, too.
    """
    before, sys.argv = sys.argv, [str(path)]
    try:
        with streams.theirs():
            yield
    finally:
        sys.argv = before


def load(path: Path) -> dict[str, Any]:
    """Run the space file as the module of its name, afresh with the modules that lie beside it; return its names.

    Functions and classes of a module travel to other processes by name. Raises SearchError for a name that is taken,
    and whatever the file raises.
    """
    name, source = module_name(path), path.read_bytes()
    _go_to(path.parent.resolve())
    _check_free(path, name)
    _check_neighbours(path, source)
    loader = _Loader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module, before = importlib.util.module_from_spec(spec), sys.modules.get(name)
    streams.give()
    sys.modules[name] = module  # dataclasses, pickle and typing look it up there
    try:
        with as_script(path):
            loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
        raise
    setattr(module, _SOURCE, source)
    return module.__dict__


def loaded(path: Path) -> dict[str, Any]:
    """The names of the space file, which is not run again where this process has run it as it is."""
    there = sys.modules.get(module_name(path))
    if there is not None and _is_file(there, path) and getattr(there, _SOURCE, None) == path.read_bytes():
        return there.__dict__
    return load(path)


def module_name(path: Path) -> str:
    """The file's stem; a dot in it would name a package."""
    return path.stem.replace(".", "_")


def _go_to(folder: Path) -> None:
    """Put the folder first on the import path, as `python file.py` does, and forget what lay beside earlier ones."""
    global _at, _strangers
    if _at is not None:
        for name, module in list(sys.modules.items()):
            ours = name.partition(".")[0] == "search"  # where the space file lies in a checkout of this package
            if name not in _strangers and not ours and _beside(module, _at):
                del sys.modules[name]
        if _at != folder and sys.path[:1] == [str(_at)]:
            del sys.path[0]
    if _at != folder:
        _strangers = set(sys.modules)
    _at = folder
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))


def _beside(module: ModuleType, folder: Path) -> bool:
    """Whether the module lies in the folder, and not in an environment inside it."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or file.startswith(_LIBRARIES):
        return False
    # Path(file).parents would take a tenth of a second for the modules of a session.
    return os.path.normpath(file).startswith(f"{folder}/" if folder.name else "/")


def _is_file(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and Path(file).resolve() == path.resolve()


def _check_free(path: Path, name: str) -> None:
    """Raise SearchError if the file would hide another module from all that imports it."""
    there = sys.modules.get(name)
    ours = there is not None and (hasattr(there, _SOURCE) or _is_file(there, path))
    if name in sys.stdlib_module_names or name == "search":
        whose = "Python's" if name != "search" else "this package's"
    elif there is not None and not ours:
        whose = f"{getattr(there, '__file__', None) or 'this process'}, the"
    elif (found := PathFinder.find_spec(name, list(_LIBRARIES))) is not None and found.origin is not None:
        whose = "the installed"
    else:
        return
    raise SearchError(f"{path}: the file hides {whose} module {name!r} from all that imports it: rename the file")


def _check_neighbours(path: Path, source: bytes) -> None:
    """Raise SearchError if the file imports a neighbour whose name this process has given to another file."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # which running it will say
        return
    for node in (node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))):
        wanted = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        wanted += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
        for name in {word.partition(".")[0] for word in wanted}:
            there, folder = sys.modules.get(name), path.parent.resolve()
            beside = (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()
            if there is not None and beside and not _beside(there, folder):
                said = f"{name} is another module in this process, {there.__file__}"
                raise SearchError(f"{path}:{node.lineno}: {said}: rename {name}.py, or start a new process")
