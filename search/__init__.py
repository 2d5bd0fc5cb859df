"""Hyperparameter search for people who fine-tune image classifiers."""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

warnings.filterwarnings("ignore", "IProgress not found")  # of tqdm, in a notebook: Optuna imports it, and shows no bar

if TYPE_CHECKING:
    from search.api import check as check
    from search.api import confirm as confirm
    from search.api import export as export
    from search.api import figures as figures
    from search.api import load_study as load_study
    from search.api import predict as predict
    from search.api import report as report
    from search.api import run as run
    from search.config import Epoch as Epoch
    from search.config import TrainConfig as TrainConfig
    from search.errors import SearchError as SearchError
    from search.space.space import Choice as Choice
    from search.space.space import Float as Float
    from search.space.space import Int as Int
    from search.space.space import SearchSpace as SearchSpace
    from search.study.pruner import ASHA as ASHA

_HOMES = {
    "ASHA": "study.pruner",
    "Choice": "space.space",
    "Epoch": "config",
    "Float": "space.space",
    "Int": "space.space",
    "SearchError": "errors",
    "SearchSpace": "space.space",
    "TrainConfig": "config",
    **dict.fromkeys(("check", "confirm", "export", "figures", "load_study", "predict", "report", "run"), "api"),
}
"""The module of each public name."""
__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    # Late, so that `search --help` does not wait for Optuna.
    if name not in _HOMES:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    return getattr(import_module(f"search.{_HOMES[name]}"), name)
