"""Hyperparameter search for people who fine-tune image classifiers."""

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = [
    "ASHA",
    "Choice",
    "Epoch",
    "Float",
    "Int",
    "SearchError",
    "SearchSpace",
    "TrainConfig",
    "check",
    "confirm",
    "export",
    "load_study",
    "report",
    "run",
]

if TYPE_CHECKING:
    from search.api import check as check
    from search.api import confirm as confirm
    from search.api import export as export
    from search.api import load_study as load_study
    from search.api import report as report
    from search.api import run as run
    from search.config import Epoch as Epoch
    from search.config import TrainConfig as TrainConfig
    from search.errors import SearchError as SearchError
    from search.pruner import ASHA as ASHA
    from search.space import Choice as Choice
    from search.space import Float as Float
    from search.space import Int as Int
    from search.space import SearchSpace as SearchSpace

_HOMES = {
    "ASHA": "pruner",
    "Epoch": "config",
    "SearchError": "errors",
    "TrainConfig": "config",
    "load_study": "api",
    "run": "api",
}
_MODULES = {"check", "confirm", "export", "report"}
"""Verbs that are modules, too (verb.py): whoever imports one of them, they can be called."""


def __getattr__(name: str) -> object:
    # Late, so that `search --help` does not wait for Optuna.
    if name not in __all__:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    if name in _MODULES:
        return import_module(f"search.{name}")
    return getattr(import_module(f"search.{_HOMES.get(name, 'space')}"), name)
