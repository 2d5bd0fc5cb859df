"""Which code a train() of one's own is: what changes when the code does, and not when its comments do."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

_OURS = {"space", "trials", "metric", "direction", "sampler", "pruner", "baselines", "resources"}
"""What `search run` reads of a space file beside train(). The study has a record of its own of what matters there."""


def code_of(path: Path) -> str:
    """Twelve digits of a SHA-256 of the space file at `path` and of the modules beside it that it imports.

    Comments, docstrings, blank lines and quotes do not count, nor does what `search run` itself reads of the file, as
    long as no other code of the file names it. Modules from elsewhere do not count, nor does this package. A file that
    cannot be parsed counts as its bytes.
    """
    digest = hashlib.sha256()
    for name, tree in sorted(_modules(path).items()):
        digest.update(f"{name} {tree}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()[:12]


def _modules(path: Path) -> dict[str, str]:
    """Each file by its path from the folder of the space file, as text that has no comments."""
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
        todo += _imported(tree, file, folder)
        if not name:
            tree.body = _own(tree.body)
        found[name] = ast.dump(_plain(tree))
    return found


def _own(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of a space file without those that only say what `search run` reads."""
    bound = [(statement, set(_bound(statement))) for statement in body]
    named = {
        node.id
        for statement, names in bound
        if not names or not names <= _OURS
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    return [statement for statement, names in bound if not names or not names <= _OURS - named]


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names that an assignment or a definition gives a value."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        yield statement.name
    elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))


def _plain(tree: ast.Module) -> ast.Module:
    """The tree without its docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0].value if node.body and isinstance(node.body[0], ast.Expr) else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                node.body = node.body[1:]
    return tree


def _imported(tree: ast.Module, file: Path, folder: Path) -> Iterator[Path]:
    """The files below `folder` that `file` imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files(folder, alias.name)
        elif isinstance(node, ast.ImportFrom):
            above = folder if not node.level else file.parents[node.level - 1]
            yield from _files(above, node.module or "")
            for alias in node.names:
                yield from _files(above, f"{node.module}.{alias.name}" if node.module else alias.name)


def _files(above: Path, module: str) -> Iterator[Path]:
    """The files that the import of `module` runs, its packages' own among them; not those of this package."""
    place = above
    if module.partition(".")[0] == "search":
        return
    for part in module.split("."):
        place /= part
        for file in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if file.is_file():
                yield file.resolve() if file.resolve().is_relative_to(above.resolve()) else file
