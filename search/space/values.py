"""Settings as the record keeps them: plain values, and one text that every process gives them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Set
from datetime import date, time
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from pkgutil import resolve_name
from typing import Any
from uuid import UUID

import cloudpickle
from optuna.distributions import BaseDistribution
from pydantic import BaseModel

from search.errors import first_line


class Labelled:
    """What a Choice has: options, each under its label."""

    options: dict[str, Any]


_BITS = 14_000
"""Of an integer, at most: Python writes none of more than 4,300 digits."""
_AS_TEXT = (PurePath, Decimal, Fraction, UUID)


def plain(value: Any) -> Any:
    """`value` as JSON and YAML keep it: None, a truth, a number, a text, a list, or a dict with texts for keys.

    Sets are sorted. An Enum's member is its value; a dtype is its name; a class or a function is its module:name, which
    `pkgutil.resolve_name` reads. Raises TypeError for what has no such form.
    """
    if type(value) is int and value.bit_length() > _BITS:
        raise TypeError("an integer of so many digits has no text")
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Enum):
        return _member(value)
    if isinstance(value, Mapping):
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            raise TypeError(f"the record keeps a dict whose keys are texts, and {odd[0]!r} is none")
        return {plain(key): plain(part) for key, part in value.items()}
    if isinstance(value, Set):
        return sorted(map(plain, value), key=_order)
    if isinstance(value, (list, tuple, range)):
        return [plain(part) for part in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, BaseModel):
        return plain(dict(value))
    if isinstance(value, _AS_TEXT):
        return str(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    for kind in (bool, int, float, str):
        if isinstance(value, kind):  # of a class below it
            return kind.__str__(value) if kind is str else kind(value)
    return _of_arrays(value)


def _member(member: Enum) -> Any:
    try:
        return plain(member.value)
    except TypeError:
        return member.name


def _order(part: Any) -> tuple[str, Any]:
    """Sorts numbers by size, and anything else by its text."""
    number = isinstance(part, (int, float)) and not isinstance(part, bool)
    return ("", part) if number else (type(part).__name__, json.dumps(part))


def _of_arrays(value: Any) -> Any:
    """A value of NumPy or torch as a plain one, or a class or function as its name. Raises TypeError."""
    kind = type(value)
    library = kind.__module__.partition(".")[0]
    if library in ("numpy", "torch") and hasattr(value, "tolist"):
        listed = value.tolist()
        return plain(float(listed) if type(listed) is kind else listed)  # a longdouble's is itself
    if library == "torch" and kind.__name__ in ("dtype", "device"):
        return str(value).removeprefix("torch.")
    if library == "numpy" and hasattr(value, "descr"):
        return str(value)  # a dtype
    name = f"{getattr(value, '__module__', None)}:{getattr(value, '__qualname__', None)}"
    try:
        found = resolve_name(name)
    except Exception:  # of no module, or no name, or inside a function
        found = None
    if found is not value:
        article = "an" if kind.__name__[:1].lower() in "aeiou" else "a"
        raise TypeError(f"{article} {kind.__name__} has no plain value that the record could keep")
    return name


def text(value: Any) -> str:
    """The text of a setting, the same in every process: how one space is told from another."""
    if isinstance(value, Labelled):
        return f"Choice({', '.join(f'{label}={text(option)}' for label, option in value.options.items())})"
    kind = type(value)
    if value is None or kind in (bool, int, float, str) or isinstance(value, BaseDistribution):
        return repr(value)
    if kind is dict:
        return f"{{{', '.join(f'{key!r}: {text(part)}' for key, part in value.items())}}}"
    if kind in (list, tuple):
        inner = ", ".join(map(text, value))
        return f"[{inner}]" if kind is list else f"({inner}{',' if len(value) == 1 else ''})"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(map(text, plain(value)))}}}"
    return repr(plain(value))


def unfit(value: Any) -> str:
    """Why a setting cannot have this value; empty if it can. It goes to another process and into the record."""
    try:
        plain(value)
    except RecursionError:
        return "the dict contains itself" if isinstance(value, dict) else "it contains itself"
    except Exception as error:  # of any kind, from a class in the space file
        return first_line(error)
    try:
        cloudpickle.dumps(value)
    except Exception as error:
        return f"cannot be handed to another process ({type(error).__name__}: {first_line(error)})"
    return ""
