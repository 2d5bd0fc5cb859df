"""What a model wants to see, and what the kinds of models share."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

from search.errors import SearchError


class ImageSpec(NamedTuple):
    """What a model wants to see.

    `resize`: pixels of the short side; `crop`: pixels of the centre square cut from it;
    `mean` and `std`: a channel, of values in [0, 1].
    """

    resize: int
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


PIP = "pip install -e"


def extra(module: str, extra: str) -> Any:
    """The module `module`; raises SearchError saying which of the project's extras it comes with."""
    try:
        return import_module(module)
    except ImportError:
        raise SearchError(
            f"{module} is not installed; it comes with this project's extra: {PIP} '.[{extra}]'"
        ) from None
