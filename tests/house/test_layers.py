"""Who may import whom: each folder only from the layers to its left, and each heavy dependency has one home."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from house.source import parsed

SEARCH = Path(__file__).resolve().parents[2] / "search"

LAYERS = (
    "errors format entry_points | config models files | space data predictions metrics | study train "
    "| engine analysis trained | doctor reporting | monitoring | commands | api cli"
)
"""Left to right; a folder is one name, and inside it modules import each other freely."""

HOMES = {
    "ray": {
        f"engine/ray/{name}.py"
        for name in (
            "__init__",
            "adapters",
            "auth",
            "closing",
            "cluster",
            "jobs",
            "nodes",
            "on_node",
            "patches",
            "trainable",
            "tune",
        )
    },
    "pandas": {"reporting/table.py"},
    "yaml": {"commands/steps/export.py"},
    "typer": {"cli/verbs.py"},
}
ORDER = {name: place for place, group in enumerate(LAYERS.split("|")) for name in group.split()}


def modules() -> list[str]:
    return sorted(path.relative_to(SEARCH).as_posix() for path in SEARCH.rglob("*.py"))


def room(name: str) -> str:
    """The layer's name for a module: data/cache.py is data, api.py is api."""
    return name.partition("/")[0].removesuffix(".py")


@cache
def imports(name: str) -> frozenset[str]:
    """The dotted names that a module imports."""
    found: set[str] = set()
    for node in ast.walk(parsed(SEARCH / name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}:{node.lineno}: a relative import"
            # `from search import config` and `from ray import tune` name modules too.
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def module(name: str) -> str:
    """The dotted name of a file: search.data.cache of data/cache.py, search.data of data/__init__.py."""
    return f"search.{name.removesuffix('.py').replace('/', '.')}".removesuffix(".__init__")


def own_imports(name: str) -> set[str]:
    return {room(i.split(".")[1]) for i in imports(name) if i.startswith("search.")} - {room(name)}


def test_every_module_has_its_layer() -> None:
    rooms = {room(name) for name in modules()} - {"__init__"}
    assert rooms <= set(ORDER)


def test_a_module_imports_only_from_its_left() -> None:
    wrong = {
        name: others
        for name in modules()
        if name != "__init__.py"
        if (others := {other for other in own_imports(name) if ORDER[other] >= ORDER[room(name)]})
    }
    assert wrong == {}, "these stand in the module's own layer or to its right"


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = {module(name) for name in modules()}
    graph = {}
    for name in modules():
        named = {i if i in known else i.rpartition(".")[0] for i in imports(name)}
        graph[module(name)] = named & known
    assert len(graph) > 100
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError, which names the modules


@pytest.mark.parametrize(("library", "homes"), HOMES.items())
def test_a_heavy_dependency_has_one_home(library: str, homes: set[str]) -> None:
    assert {name for name in modules() if any(i.split(".")[0] == library for i in imports(name))} == homes


def test_what_trains_knows_nothing_of_the_search() -> None:
    trains = [name for name in modules() if room(name) in ("models", "data", "train")]
    assert len(trains) > 5
    for name in trains:
        assert not {i.split(".")[0] for i in imports(name)} & {"optuna", "ray"}, name


def loaded(*parts: str) -> list[set[str]]:
    """The top-level modules that a fresh Python holds after each of the parts of its code, one after another."""
    ending = "\nimport sys\nprint('loaded', *{name.partition('.')[0] for name in sys.modules})\n"
    code = "".join(part + ending for part in parts)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    return [set(names) for first, *names in filter(None, lines) if first == "loaded"]


def test_help_waits_for_none_of_the_heavy_libraries() -> None:
    code = """
import sys
sys.argv = ["search", "--help"]
from search.cli import main
try:
    main()
except SystemExit as end:
    assert end.code in (0, None)
"""
    (names,) = loaded(code)
    assert "typer" in names
    assert not names & {"torch", "torchvision", "optuna", "ray", "pandas", "sklearn", "yaml", "numpy", "pydantic"}


def test_a_report_needs_neither_ray_nor_torch() -> None:
    modules = ("reporting.page", "reporting.table", "reporting.columns", "commands.steps.export")
    (names,) = loaded("import " + ", ".join(f"search.{name}" for name in modules))
    assert "pandas" in names
    assert not names & {"torch", "ray", "sklearn"}


def test_rays_workers_need_nothing_of_the_driver_and_the_driver_needs_no_torch() -> None:
    """In one process, since each imports Ray: first what the workers import, then the driver's modules beside it."""
    worker, driver = loaded(
        "import search.engine.ray.trainable; from search.engine.messages import WorkerConfig",
        "import search.commands.steps.run, search.engine.ray.tune",
    )
    assert "ray" in worker
    assert not worker & {"torch", "optuna", "sqlalchemy"}
    assert "optuna" in driver
    assert not driver & {"torch", "torchvision"}
