"""Python files as trees of syntax: without comments and docstrings, with the modules that they import."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path


def modules_of(path: Path, own: Callable[[list[ast.stmt]], list[ast.stmt]] = lambda body: body) -> dict[str, str]:
    """The file at `path` and those that it imports from its folder, as texts that have no comments.

    Each by its path from that folder; the first by an empty one. `own`: what counts of its statements.
    """
    folder, found = path.resolve().parent, dict[str, str]()
    todo = [path.resolve()]
    while todo:
        file = todo.pop()
        name = "" if file == path.resolve() else file.relative_to(folder).as_posix()
        if name in found:
            continue
        content = file.read_bytes()
        try:
            tree = ast.parse(content)
        except (SyntaxError, ValueError):
            found[name] = content.hex()
            continue
        todo += imported(tree, file, folder)
        if not name:
            tree.body = own(tree.body)
        found[name] = ast.dump(plain_tree(tree))
    return found


def plain_tree(tree: ast.Module) -> ast.Module:
    """The tree without its docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0].value if node.body and isinstance(node.body[0], ast.Expr) else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                node.body = node.body[1:]
    return tree


def imported(tree: ast.Module, file: Path, folder: Path) -> Iterator[Path]:
    """The files below `folder` that `file` imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from files(folder, alias.name)
        elif isinstance(node, ast.ImportFrom):
            above = folder if not node.level else file.parents[node.level - 1]
            yield from files(above, node.module or "")
            for alias in node.names:
                yield from files(above, f"{node.module}.{alias.name}" if node.module else alias.name)


def files(above: Path, module: str) -> Iterator[Path]:
    """The files that the import of `module` runs, its packages' own among them; not those of this package."""
    place = above
    if module.partition(".")[0] == "search":
        return
    for part in module.split("."):
        place /= part
        for file in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if file.is_file():
                yield file.resolve() if file.resolve().is_relative_to(above.resolve()) else file
