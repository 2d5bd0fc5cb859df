"""Hyperparameter search for people who fine-tune image classifiers."""

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = ["ASHA", "Choice", "Epoch", "Float", "Int", "SearchSpace", "TrainConfig"]

if TYPE_CHECKING:
    from search.config import Epoch as Epoch
    from search.config import TrainConfig as TrainConfig
    from search.pruner import ASHA as ASHA
    from search.space import Choice as Choice
    from search.space import Float as Float
    from search.space import Int as Int
    from search.space import SearchSpace as SearchSpace

_HOMES = {"ASHA": "pruner", "Epoch": "config", "TrainConfig": "config"}


def __getattr__(name: str) -> object:
    # Late, so that `search --help` does not wait for Optuna.
    if name not in __all__:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    return getattr(import_module(f"search.{_HOMES.get(name, 'space')}"), name)
