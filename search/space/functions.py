"""Which code a train() is that stands in no file: its functions and what they use, without their lines and comments."""

from __future__ import annotations

import ast
import dis
import functools
import hashlib
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from search.space.trees import files, imported, modules_of, plain_tree
from search.space.values import text


def code_of_function(train: Any, folder: Path) -> str:
    """Twelve digits of a SHA-256 of a function and of the functions, classes and values that it uses.

    Cells that are run again without a change give the same. Modules count that lie in `folder`; of others, and of their
    functions and objects, only the name does.
    """
    digest = hashlib.sha256()
    for part in _Parts(folder).of(train):
        digest.update(f"{part}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()[:12]


def keys_of(train: Any) -> set[str] | None:
    """The keys that a train() reads of its config, by its text; None where it hands the config on as a whole."""
    tree = _tree(train) if isinstance(train, FunctionType) else None
    function = tree.body[0] if tree is not None else None
    if not isinstance(function, ast.FunctionDef) or not (named := [*function.args.posonlyargs, *function.args.args]):
        return None
    keys, places, config = set[str](), set[int](), named[0].arg
    for node in ast.walk(function):
        match node:
            case (
                ast.Subscript(value=ast.Name(id=name) as used, slice=ast.Constant(value=str(key)))
                | ast.Call(
                    func=ast.Attribute(value=ast.Name(id=name) as used, attr="get" | "pop"),
                    args=[ast.Constant(value=str(key)), *_],
                )
                | ast.Compare(left=ast.Constant(value=str(key)), comparators=[ast.Name(id=name) as used])
            ) if name == config:
                keys.add(key)
                places.add(id(used))
    names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
    whole = any(node.id in ("locals", "eval", "exec") for node in names)
    return None if whole or any(node.id == config and id(node) not in places for node in names) else keys


class _Parts:
    """Walks through what a function uses, each thing once."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._seen = folder.resolve(), list[Any]()
        self._inside = set[int]()
        """The lists and dicts that it is in the middle of, which may contain themselves."""

    def of(self, value: Any) -> Iterator[str]:
        """What tells `value` from others, in an order that every process has."""
        if any(value is seen for seen in self._seen):
            return
        if isinstance(value, (FunctionType, type, ModuleType, functools.partial)) or hasattr(value, "__dict__"):
            self._seen.append(value)
        match value:
            case ModuleType():
                yield from self._module(value)
            case MethodType():
                yield from self._all({"self": value.__self__, "function": value.__func__})
            case functools.partial():
                yield from self._all({"function": value.func, "args": value.args, "more": value.keywords})
            case FunctionType() | type() if not in_no_module(value):
                yield from self._named(value)
            case FunctionType():
                yield from self._function(value)
            case type():
                yield from self._class(value)
            case list() | tuple() | dict():
                yield from self._container(value)
            case _ if isinstance(getattr(value, "__wrapped__", None), FunctionType):  # of functools.lru_cache
                yield from self._all({"made": type(value).__name__, "function": value.__wrapped__})
            case _ if in_no_module(type(value)):  # an object of the user's
                yield from self._all({"class": type(value), **getattr(value, "__dict__", {})})
            case _:
                yield _value(value)

    def _all(self, parts: Mapping[Any, Any]) -> Iterator[str]:
        for name, part in parts.items():
            yield f"{name}:"
            yield from self.of(part)

    def _container(self, value: Any) -> Iterator[str]:
        parts = value if isinstance(value, dict) else dict(enumerate(value))
        if all(part is None or type(part) in (bool, int, float, str) for part in parts.values()):
            yield repr(value)
        elif id(value) not in self._inside:
            self._inside.add(id(value))
            yield from self._all(parts)
            self._inside.remove(id(value))

    def _module(self, module: ModuleType) -> Iterator[str]:
        yield module.__name__
        yield from self._files(files(self._folder, module.__name__))

    def _files(self, found: Iterable[Path]) -> Iterator[str]:
        for file in found:
            yield from (f"{file.name} {name} {tree}" for name, tree in sorted(modules_of(file).items()))

    def _named(self, value: Any) -> Iterator[str]:
        """A function or class of a module."""
        yield value.__qualname__
        yield from self.of(sys.modules[value.__module__])

    def _class(self, value: type) -> Iterator[str]:
        """A class that stands in no module."""
        yield value.__qualname__
        yield from self._all(dict(enumerate(value.__bases__)))
        for name, part in vars(value).items():
            inner = getattr(part, "__func__", getattr(part, "fget", part))  # of a method, or a property
            if isinstance(inner, FunctionType) or not (name.startswith("__") or inspect.isdatadescriptor(part)):
                yield from self._all({name: inner})

    def _function(self, value: FunctionType) -> Iterator[str]:
        """A function that stands in no module, and what it uses from outside of itself."""
        tree, code, names = _tree(value), value.__code__, set[str]()
        for part in _nested(code):
            names |= {str(step.argval) for step in dis.get_instructions(part) if step.opname in _READS}
            if tree is None:
                yield f"{part.co_code.hex()} {part.co_names} {part.co_varnames}"
                yield from (_value(const) for const in part.co_consts if not isinstance(const, CodeType))
        if tree is not None:
            yield ast.dump(tree)
            yield from self._files(imported(tree, self._folder / "cell", self._folder))
        yield from self._all({"defaults": value.__defaults__, "more defaults": value.__kwdefaults__})
        yield from self._all(dict(zip(code.co_freevars, map(_content, value.__closure__ or ()), strict=True)))
        yield from self._all({name: value.__globals__[name] for name in sorted(names & value.__globals__.keys())})


_READS = ("LOAD_GLOBAL", "LOAD_NAME")


def in_no_module(value: Any) -> bool:
    """Whether no import finds the function or class: it is a notebook's, a script's, or made inside a function."""
    module = getattr(value, "__module__", None)
    return module in (None, "__main__") or module not in sys.modules or "<" in value.__qualname__


def _tree(function: FunctionType) -> ast.Module | None:
    """The text of a function without comments and docstrings; None where it is not known."""
    try:
        tree = ast.parse(dedent(inspect.getsource(function.__code__)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    if len(tree.body) != 1 or not isinstance(tree.body[0], (ast.FunctionDef, ast.AsyncFunctionDef)):
        return None  # a lambda, with all of its line
    return plain_tree(tree)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _nested(const)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None


def _value(value: Any) -> str:
    """A plain value, or an array's numbers; of any other object its kind, as more of it may change by itself."""
    kind = type(value)
    if kind.__module__ in ("numpy", "torch") and hasattr(value, "tobytes" if kind.__module__ == "numpy" else "numpy"):
        array = value if kind.__module__ == "numpy" else value.detach().cpu().numpy()
        return f"{kind.__qualname__} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}"
    try:
        return text(value)
    except Exception:  # of any kind, from a class of the user's
        return f"{kind.__module__}.{kind.__qualname__}"
