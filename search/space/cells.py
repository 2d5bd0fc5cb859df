"""A space and a train() that stand in no file, such as those of a notebook's cells: kept in one that workers read."""

from __future__ import annotations

import dis
import functools
import inspect
import io
import linecache
import pickle
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any, NoReturn

import cloudpickle

from search.errors import SearchError, first_line, option
from search.files.atomic import write_whole
from search.space.checks import CELLS
from search.space.functions import code_of_function, in_no_module

SUFFIX = CELLS

_here: dict[Path, tuple[dict[str, Any], str]] = {}
"""What this process has written: an engine in this process calls the user's own objects, and not copies of them."""


def write(path: Path, names: Mapping[str, Any]) -> None:
    """Keep at `path` the `names` that a space file would have.

    Functions of a notebook or script are kept whole, with the globals that they use as these are now, and with the
    lines of their cells for messages. Raises SearchError for what cannot be handed to another process.
    """
    try:
        packed = _packed(dict(names))
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


_CACHED = type(functools.lru_cache(len))


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc] # it has no types
    """Hands on a function that `functools.lru_cache` has wrapped; cloudpickle takes it for one that can be imported."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, _CACHED) and in_no_module(obj.__wrapped__):
            return _cached, (obj.__wrapped__, obj.cache_parameters())
        return super().reducer_override(obj)


def _cached(function: Any, how: Mapping[str, Any]) -> Any:
    return functools.lru_cache(**how)(function)


def _packed(value: Any) -> bytes:
    with io.BytesIO() as file:
        _Pickler(file).dump(value)
        return file.getvalue()


def _refuse(names: Mapping[str, Any]) -> None:
    """Raise SearchError for the first of the `names` that cannot be handed to another process."""
    for name, value in names.items():
        try:
            _packed(value)
        except Exception as error:
            said, inside = f"({type(error).__name__}: {first_line(error)})", "inside of it"
            said, what = f"cannot be handed to a training process {said}", "it"
            if (found := _culprit(value, [])) is not None:
                what = f"it uses {found.name!r}{f' ({found.where})' if found.where else ''}, which"
                inside = f"inside of {found.user}"
            raise SearchError(f"{option(name)}: {what} {said}; open or build it {inside}") from None


def _passes(value: Any) -> bool:
    """Whether a value can be handed to another process."""
    try:
        _packed(value)
    except Exception:
        return False
    return True


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


_READS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF")


@dataclass(frozen=True)
class _Culprit:
    """A variable, an attribute or an argument that something of the user's uses."""

    name: str
    user: str
    """Who uses it: `train2()`."""
    where: str = ""
    """In which line, and its text; empty where that is not known."""


def _culprit(value: Any, seen: list[Any]) -> _Culprit | None:
    """The innermost of what `value` uses that cannot be handed on; None if all of that can. `seen`: for itself."""
    if any(value is known for known in seen):
        return None
    seen.append(value)
    for found, part in _uses(value):
        if not _passes(part):
            return _culprit(part, seen) or found
    return None


def _uses(value: Any) -> Iterator[tuple[_Culprit, Any]]:
    """What a function, a method, a partial, a class or an object of the user's uses, each under its name."""
    match value:
        case FunctionType():
            yield from _of_function(value)
        case MethodType():
            yield from _uses(value.__self__)
            yield from _uses(value.__func__)
        case functools.partial():
            yield from _uses(value.func)
            whose = f"the call of {getattr(value.func, '__name__', 'the function')}()"
            named = {**{f"argument {place}": part for place, part in enumerate(value.args, 1)}, **value.keywords}
            yield from ((_Culprit(name, whose), part) for name, part in named.items())
        case type():
            for name, part in vars(value).items():
                inner = getattr(part, "__func__", getattr(part, "fget", part))  # of a method, or a property
                if isinstance(inner, FunctionType):
                    yield from _of_function(inner)
                elif not name.startswith("__"):
                    yield _Culprit(f"{value.__name__}.{name}", f"{value.__name__}"), part
        case _ if hasattr(value, "__dict__"):
            kind = type(value)
            named = {f"{kind.__name__}.{name}": part for name, part in vars(value).items()}
            yield from ((_Culprit(name, f"a method of {kind.__name__}"), part) for name, part in named.items())
            if kind.__module__ == "__main__" or "<locals>" in kind.__qualname__:
                yield from _uses(kind)


def _of_function(function: FunctionType) -> Iterator[tuple[_Culprit, Any]]:
    user, code = f"{function.__name__}()", function.__code__
    closure = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    lines = dict(_reads(code))
    for name, line in lines.items():
        cell, where = closure.get(name), _where(code.co_filename, line)
        if cell is not None:
            try:
                yield _Culprit(name, user, where), cell.cell_contents
            except ValueError:  # it is empty
                continue
        elif name in function.__globals__:
            yield _Culprit(name, user, where), function.__globals__[name]
    count = code.co_argcount
    defaults = zip(reversed(code.co_varnames[:count]), reversed(function.__defaults__ or ()), strict=False)
    for name, part in [*defaults, *(function.__kwdefaults__ or {}).items()]:
        yield _Culprit(name, user, _where(code.co_filename, code.co_firstlineno)), part


def _reads(code: CodeType) -> Iterator[tuple[str, int]]:
    """Each name that a function reads from outside of itself, with the line; the functions inside of it count."""
    line = code.co_firstlineno
    found: dict[str, int] = {}
    for step in dis.get_instructions(code):
        line = (step.positions.lineno if step.positions else None) or line
        if step.opname in _READS:
            found.setdefault(str(step.argval), line)
    for const in code.co_consts:
        if isinstance(const, CodeType):
            found = {**dict(_reads(const)), **found}
    yield from found.items()


def _where(file: str, line: int) -> str:
    text = linecache.getline(file, line).strip()
    return f"line {line}: {text:.60}" if text else ""
