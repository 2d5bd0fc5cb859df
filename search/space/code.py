"""Which code a train() of one's own is: what changes when the code does, and not when its comments do."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

from search.space import cells
from search.space.trees import modules_of

_OURS = {"space", "trials", "metric", "direction", "sampler", "pruner", "callbacks", "baselines", "resources"}
"""What `search run` reads of a space file beside train(). The study has a record of its own of what matters there."""


def code_of(path: Path) -> str:
    """Twelve digits of a SHA-256 of the space file at `path` and of the modules beside it that it imports.

    Comments, docstrings, blank lines and quotes do not count, nor does what `search run` itself reads of the file, as
    long as no other code of the file names it. Modules from elsewhere do not count, nor does this package. A file that
    cannot be parsed counts as its bytes. The file of functions that stand in none says itself which code they are.
    """
    if path.suffix == cells.SUFFIX:
        return cells.code(path)
    digest = hashlib.sha256()
    for name, tree in sorted(modules_of(path, _own).items()):
        digest.update(f"{name} {tree}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()[:12]


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
