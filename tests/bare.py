"""A Python that finds only what a GPU machine has and what the kit carries, whatever else is installed here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from benchmarks.gpu.prepare import EXPECTED, SMALL, WEIGHTS

_SITE = """
import sys, sysconfig
from importlib.machinery import PathFinder

class Bare(PathFinder):
    LACKS, HERE = {lacks!r}, sysconfig.get_path("purelib")

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        found = PathFinder.find_spec(name, path, target)
        places = [found.origin or "", *(found.submodule_search_locations or [])] if found else []
        hidden = name in cls.LACKS and any(place.startswith(f"{{cls.HERE}}/{{name}}") for place in places)
        return None if hidden else found  # what Ray has of its own is found

sys.meta_path[sys.meta_path.index(PathFinder)] = Bare
"""


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(names: Iterable[str]) -> set[str]:
    """The packages and what they need, as far as it is installed; extras are left out."""
    seen, todo = set[str](), [plain(name) for name in names]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:  # of another system, or of an older Python
            continue
        seen.add(name)
        todo += [plain(found[0]) for need in needs if "extra ==" not in need and (found := re.match(r"[\w.-]+", need))]
    return seen


def carried() -> set[str]:
    return {plain(name) for name in (*SMALL, WEIGHTS, "ray")}


@cache
def lacking() -> set[str]:
    """The modules of packages that are installed here, and neither there nor carried."""
    there = closure(EXPECTED) | carried() | {"search"}  # from the tree
    found = packages_distributions()
    return {module for module, packages in found.items() if not {plain(name) for name in packages} & there}


PLUGINS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "pytest_timeout"}
"""Has pytest look for no plugin of the packages that are hidden."""


def make_bare(site: Path) -> None:
    """Have each Python with the folder `site` on its path find no more than the machine has."""
    site.mkdir(parents=True, exist_ok=True)
    (site / "sitecustomize.py").write_text(_SITE.format(lacks=lacking()), encoding="utf-8")
