"""A module that can be called: ``search.report`` is a package, and ``search.report(study)`` a verb in Python."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class Verb(ModuleType):
    """A module of the same name as a function of search.api, which is what a call of it means."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return getattr(import_module("search.api"), self.__name__.rpartition(".")[2])(*args, **options)


def callable_too(name: str) -> None:
    """Make a Verb of the module `name`; to be called by itself."""
    sys.modules[name].__class__ = Verb
