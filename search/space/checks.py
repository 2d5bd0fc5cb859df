"""What is wrong with a space before anything starts, and on which line of its file."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution

from search.config import SCHEDULE_NEEDS, TrainConfig, check_value, is_missing, missing_settings
from search.errors import SearchError, nearest, option
from search.space.space import Choice, Float, Int, SearchSpace
from search.space.values import unfit

CELLS = ".cells"
"""The suffix of a file that the user has not written: it keeps what was handed to `search.run`."""
PARAMETERS = ("space", "train", "metric", "direction", "sampler", "pruner")
"""What of a space file may be handed to `search.run` instead."""
_WORD = 200
"""Characters of a name or label, at most: storages keep 512, some of them in bytes."""
_EXACT = 2**53
"""The largest integer up to which a storage, which keeps parameters as floating-point numbers, has them all."""


def check_sound(path: Path | str, space: SearchSpace) -> None:
    """Names that every storage takes, ranges with two ends, values that other processes can have, no key twice."""
    for name, setting in space.walk():
        place = place_of(path, str(name))
        check_word(place, "the name", name)
        options = setting.options if isinstance(setting, Choice) else {"": setting}
        for label, part in options.items():
            check_word(place, f"{name}: the label", label or "none")
            if isinstance(setting, (Float, Int)):
                ends = [setting.low, setting.high, setting.step or 0, setting.high - setting.low]
                if not all(abs(end) <= (_EXACT if isinstance(setting, Int) else sys.float_info.max) for end in ends):
                    raise SearchError(f"{place}: {name}: a range has two ends, and integers at most 2**53: {setting}")
            elif _has_range(part, inside=isinstance(part, dict) and isinstance(setting, Choice)):
                raise SearchError(f"{place}: {name}: {part!r}: only a Float, an Int or a Choice by itself varies")
            elif (setting is part or not isinstance(part, dict)) and (why := unfit(part)):
                shown = name if isinstance(part, int) else f"{name}={part!r}"
                raise SearchError(f"{place}: {shown}: {why}; name it by a text, and make it in train()")
    check_keys(path, space)


def check_keys(path: Path | str, space: SearchSpace) -> None:
    """Every key of a trial's settings is set once, and every dimension of the sampler is one setting's."""
    for key, first, second in _twice(space.settings, ""):
        raise SearchError(
            f"{place_of(path, key, 2)}: {key} is set twice, {first} and {second}, so that one of them has no effect: "
            "give each a name of its own"
        )
    dimensions: dict[str, Any] = {}
    for dimension, setting in space.dimensions():
        if dimensions.setdefault(dimension, setting) is not setting:
            name = dimension.rpartition(".")[2]
            raise SearchError(
                f"{place_of(path, name, 2)}: two settings have the dimension {dimension!r}: write labels without dots"
            )


def _twice(settings: Mapping[str, Any], where: str) -> Iterator[tuple[str, str, str]]:
    """Each key that two settings may give one trial, and where both stand."""
    seen: dict[str, str] = {}
    for name, setting in settings.items():
        keys = dict(_keys(name, setting, where))
        yield from ((key, seen[key], place) for key, place in keys.items() if key in seen)
        seen |= keys
        for label, part in setting.options.items() if isinstance(setting, Choice) else ():
            if isinstance(part, dict):
                yield from _twice(part, f"{where}{', ' if where else 'in '}{name}={label}")


def _keys(name: str, setting: Any, where: str) -> Iterator[tuple[str, str]]:
    """The keys that a setting may give a trial, and where each stands."""
    if not isinstance(setting, Choice) or not all(isinstance(option, dict) for option in setting.options.values()):
        yield name, where or "in the space"
    for label, part in setting.options.items() if isinstance(setting, Choice) else ():
        for inner, value in part.items() if isinstance(part, dict) else ():
            yield from _keys(inner, value, f"{where}{', ' if where else 'in '}{name}={label}")


def check_word(place: str, what: str, word: Any) -> None:
    if not (isinstance(word, str) and word.isprintable() and 0 < len(word) <= _WORD):
        raise SearchError(
            f"{place}: {what} {word!r:.50} must be text that can be printed, of at most {_WORD} characters"
        )


def check_takes(path: Path, what: str, function: Callable[..., Any], *arguments: str) -> None:
    """Raise SearchError unless the `function`, which the file calls `what`, takes the `arguments` by position."""
    try:
        inspect.signature(function, follow_wrapped=False).bind(*arguments)
    except TypeError:
        code = getattr(function, "__code__", None)
        line = f":{code.co_firstlineno}" if inspect.iscode(code) and code.co_filename == str(path) else ""
        place = place_of(path, what) if path.suffix == CELLS else f"{path}{line}"
        count = "one argument" if len(arguments) == 1 else "two arguments"
        said = f"{what}() must take {count} by position: {what}({', '.join(arguments)})"
        raise SearchError(f"{place}: {said}") from None
    except ValueError:  # of a builtin, which does not say what it takes
        return


def _has_range(value: Any, inside: bool = False) -> bool:
    """Whether something that varies lies in `value`; `inside`: of its own values, each may vary."""
    if isinstance(value, (BaseDistribution, Choice)):
        return True
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return any(False if inside and isinstance(part, (Float, Int, Choice)) else _has_range(part) for part in parts)


def check_settings(path: Path | str, space: SearchSpace) -> None:
    """Every name is TrainConfig's, and every value is one that its field takes; `path`: whose they are."""
    fields = TrainConfig.model_fields
    for name, setting in space.walk():
        branches_only = isinstance(setting, Choice) and all(isinstance(o, dict) for o in setting.options.values())
        if name not in fields and not branches_only:
            raise SearchError(f"{place_of(path, name)}: unknown setting {name!r}{nearest(name, set(fields))}")
        if isinstance(setting, Choice):
            values = [o for o in setting.options.values() if not isinstance(o, dict)]
        else:
            values = [setting.low, setting.high] if isinstance(setting, (Float, Int)) else [setting]
        for value in values:
            try:
                check_value(name, value)
            except SearchError as error:
                raise SearchError(f"{place_of(path, name)}: {error}") from None


def check_missing(path: Path, space: SearchSpace) -> None:
    """Every combination of options has all that it needs."""
    fields, always = TrainConfig.model_fields, space.always()
    missing = [name for name, field in fields.items() if field.is_required() and name not in always]
    here = dict.fromkeys(always, True)
    for settings in space.combinations(("schedule", *chain(*SCHEDULE_NEEDS.values()))):
        missing += missing_settings(here | settings)
    if missing:
        raise SearchError(f"{shown(path)}: {is_missing(missing[0])}")


def place_of(path: Path | str, name: Any, times: int = 1) -> str:
    """`path` with the line on which the setting, or the variable, `name` stands, for the first to `times`th time.

    A text is returned as it is, as is a path where the line cannot be told. Of what stands in no file: the parameter.
    """
    if isinstance(path, Path) and path.suffix == CELLS:
        return option(name if name in PARAMETERS else "space")
    if isinstance(path, str) or path.suffix != ".py" or not path.is_file():
        return str(path)
    lines = sorted(set(_lines(ast.parse(path.read_bytes()), name)))
    return f"{path}:{' and '.join(map(str, lines[:times]))}" if lines else str(path)


def shown(path: Path) -> str:
    """Where the space stands, as the user knows it: its file, or the parameter of a call."""
    return option("space") if path.suffix == CELLS else str(path)


def saying(path: Path, name: str, value: Any) -> str:
    """The place and the words with which `name` is said: ``s.py: metric = 'x'``, or in a call ``metric='x'``."""
    return option(name, repr(value)) if path.suffix == CELLS else f"{path}: {name} = {value!r}"


def _lines(tree: ast.AST, name: Any) -> Iterator[int]:
    """The lines on which `name` is given a value: as a keyword, as a dict's key, or as a variable."""
    for node in ast.walk(tree):
        match node:
            case ast.keyword(arg=found) if found == name:
                yield node.lineno
            case ast.Dict(keys=keys):
                yield from (key.lineno for key in keys if isinstance(key, ast.Constant) and key.value == name)
            case ast.Name(id=found, ctx=ast.Store()) if found == name:
                yield node.lineno
