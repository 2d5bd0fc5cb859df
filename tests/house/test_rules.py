"""The rules that keep the house readable: what lies flat, how full a folder is, how long a file and a function are."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

from conftest import REPO
from house.source import parsed

SEARCH = REPO / "search"
SOURCES = sorted(SEARCH.rglob("*.py"))
WRITTEN = [*SOURCES, *sorted((REPO / "tests").rglob("*.py")), *sorted((REPO / "benchmarks").rglob("*.py"))]

LONG = {
    "reporting/plots/parallel.py:section": 41,
    "space/baseline_tables.py:import_table": 41,
    "study/lease.py:lease": 59,
    "study/storage/rows.py:read": 46,
    "train/trainer.py:train": 58,
}
"""The functions of over 40 lines, and how long each may be; the list only shrinks."""

OPTIONS = {
    "commands/jobs.py": 7,  # reads the words of `search run`, and prints commands
    "commands/steps/export.py": 1,  # a script's own options
    "commands/steps/launch.py": 4,  # reads the command line
    "commands/steps/up.py": 3,  # prints commands, as the next
    "commands/steps/weights.py": 1,
    "commands/units.py": 2,
    "doctor/device_memory.py": 3,  # runs another program, as the next
    "engine/ray/jobs.py": 1,
}
"""How many texts with --option a module has that is neither the command line nor an option's help."""


def named(path: Path) -> str:
    return path.relative_to(REPO).as_posix()


def test_at_most_eight_files_lie_flat() -> None:
    flat = sorted(path.name for path in SEARCH.iterdir() if path.is_file())
    assert len(flat) <= 8, flat


def test_a_folder_holds_at_most_fourteen_modules() -> None:
    for folder in sorted({path.parent for path in SOURCES}):
        inside = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        inside += [path.parent.name for path in folder.glob("*/__init__.py")]
        assert len(inside) <= (14 if folder != SEARCH else 21), (named(folder), sorted(inside))


def test_a_file_has_at_most_300_lines() -> None:
    lines = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in WRITTEN}
    assert {name: count for name, count in lines.items() if count > 300} == {}


def test_a_function_has_about_40_lines() -> None:
    long = {}
    for path in SOURCES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > 40:
                    long[f"{path.relative_to(SEARCH).as_posix()}:{node.name}"] = lines
    assert {name: lines for name, lines in long.items() if lines > LONG.get(name, 40)} == {}
    assert LONG.keys() <= long.keys(), "shorter now: take it off the list"


def texts(tree: ast.Module) -> list[str]:
    """The strings of a module, but for docstrings and what `Help` says of an option."""
    left = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Help":
            left |= {id(inner) for inner in ast.walk(node)}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in left]
    return [node.value for node in found if isinstance(node.value, str)]


def test_messages_spell_options_as_their_caller_does() -> None:
    """`errors.option` does; a text that names --option itself would be wrong for who calls Python."""
    found = {}
    for path in SOURCES:
        name = path.relative_to(SEARCH).as_posix()
        count = sum(bool(re.search(r"(?<![\w-])--[a-z]", text)) for text in texts(parsed(path)))
        if count and not name.startswith("cli/"):
            found[name] = count
    assert found == OPTIONS


def test_every_test_starts_without_the_extras() -> None:
    """A machine that has no database's or bucket's library runs the tests that need none, such as those of a GPU."""
    extras = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    optional = {re.split(r"[\[<>=]", name)[0].replace("-", "_") for names in extras.values() for name in names}
    assert {"psycopg", "s3fs", "moto"} <= optional
    found, left = set[str](), {"conftest"}
    while left - found:
        name = (left - found).pop()
        found.add(name)
        path = REPO / "tests" / f"{name}.py"
        for node in ast.parse(path.read_text(encoding="utf-8")).body if path.is_file() else ():
            if isinstance(node, ast.Import | ast.ImportFrom):
                whole = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
                left |= {each.partition(".")[0] for each in whole}
    assert found & optional <= {"pytest"}
