"""Every name in search/entry_points.py leads to something, and no other module holds such names."""

from __future__ import annotations

import ast
import re
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name

import pytest
from house.source import parsed

from search import entry_points

NAMES = [
    name
    for constant, value in vars(entry_points).items()
    if constant.isupper()
    for name in ([value] if isinstance(value, str) else value.values() if isinstance(value, dict) else value)
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_leads_to_a_function_or_a_module(name: str) -> None:
    if ":" in name:
        assert callable(resolve_name(name))
    else:
        assert find_spec(name) is not None


@pytest.mark.parametrize("name", [entry_points.COST_PROGRAM, entry_points.FORK_SERVER_PROGRAM])
def test_a_program_can_be_run(name: str) -> None:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert 'if __name__ == "__main__":' in Path(spec.origin).read_text(encoding="utf-8")


def test_no_other_module_holds_names_of_modules_in_strings() -> None:
    modules = Path(entry_points.__file__).parent
    found = {
        f"{path.relative_to(modules)}: {node.value}"
        for path in modules.rglob("*.py")
        if path.name != "entry_points.py"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.fullmatch(r"search(\.\w+)+(:\w+)?", node.value)
        and find_spec(".".join(node.value.partition(":")[0].split(".")[:2])) is not None
    }
    assert found == set()
