"""A search space: settings that are fixed, or vary over a distribution, or branch."""

from __future__ import annotations

import ast
import itertools
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from numbers import Real
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import BaseTrial, FixedTrial, create_trial

from search.config import TrainConfig, check_value
from search.errors import SearchError, nearest, option
from search.space import values
from search.space.values import Labelled, plain

Float = FloatDistribution
Int = IntDistribution


class Choice(Labelled):
    """One of several options, each under a label that the storage, the table and ``--set`` use.

    Options given by position are labelled by their text. An option that is a dict is a branch: its
    settings, which may vary in turn, exist only where it is taken.

    >>> Choice(0.01, 0.1, 0.5)
    >>> Choice(none=(), features=("features",))
    >>> Choice(scratch=None, imagenet=dict(weights="DEFAULT", frozen=Choice(none=(), features=("features",))))
    """

    def __init__(self, *values: Any, **labelled: Any) -> None:
        pairs = [(_text(value), value) for value in values] + list(labelled.items())
        self.options: dict[str, Any] = dict(pairs)
        if not pairs:
            raise ValueError("Choice() needs at least one option")
        if len(self.options) < len(pairs):
            twice = Counter(label for label, _ in pairs).most_common(1)[0][0]
            raise ValueError(f"Choice has two options labelled {twice!r}")

    def labels(self, name: str, settings: Mapping[str, Any]) -> list[str]:
        """The labels of the options that `settings` agree with; of a branch, with what is fixed in it."""
        return [
            label
            for label, option in self.options.items()
            for fixed in [option if isinstance(option, dict) else {name: option}]
            if all(_varies(value) or (key in settings and _same(settings[key], value)) for key, value in fixed.items())
        ]

    def __repr__(self) -> str:
        return f"Choice({', '.join(f'{label}={value!r}' for label, value in self.options.items())})"


def _text(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


Settings = Mapping[str, Any]


class SearchSpace:
    """The settings of a search: name to value (fixed), Float or Int (searched), or Choice.

    With the built-in trainer the names are TrainConfig's fields; with a ``train`` of the space file's own, any.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings: dict[str, Any] = settings
        seen = Counter(name for name, setting, _ in self._walk(settings) if _varies(setting))
        self._shared = {name for name, count in seen.items() if count > 1}

    def _walk(self, settings: Settings, branch: str = "") -> Iterator[tuple[str, Any, str]]:
        """Every setting of every branch: its name, itself, the labels that lead to its branch."""
        for name, setting in settings.items():
            yield name, setting, branch
            if isinstance(setting, Choice):
                for label, option in setting.options.items():
                    if isinstance(option, dict):
                        yield from self._walk(option, f"{branch}.{label}".lstrip("."))

    def walk(self) -> Iterator[tuple[str, Any]]:
        """Every setting of the space and of its branches."""
        return ((name, setting) for name, setting, _ in self._walk(self.settings))

    def dimensions(self) -> Iterator[tuple[str, Any]]:
        """Every setting that varies, under the name by which the sampler knows it."""
        for name, setting, branch in self._walk(self.settings):
            if _varies(setting):
                yield self._dimension(name, branch), setting

    def _dimension(self, name: str, branch: str) -> str:
        return f"{branch}.{name}" if branch and name in self._shared else name

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """Ask `trial` for every setting that varies; return the settings with their values.

        A name that varies in two branches is two dimensions, ``branch.name`` each, so that the sampler
        does not take one for the other.
        """
        return self._suggest(trial, self.settings, "")

    def _suggest(self, trial: BaseTrial, settings: Settings, branch: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, setting in settings.items():
            dimension = self._dimension(name, branch)
            if isinstance(setting, Float):
                values[name] = trial.suggest_float(
                    dimension, setting.low, setting.high, step=setting.step, log=setting.log
                )
            elif isinstance(setting, Int):
                values[name] = trial.suggest_int(
                    dimension, setting.low, setting.high, step=setting.step, log=setting.log
                )
            elif isinstance(setting, Choice):
                label = trial.suggest_categorical(dimension, list(setting.options))
                option = setting.options[str(label)]
                if isinstance(option, dict):
                    values |= self._suggest(trial, option, f"{branch}.{label}".lstrip("."))
                else:
                    values[name] = option
            else:
                values[name] = setting
        return values

    def combinations(self, names: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
        """Settings for every combination of options, numbers at the low end.

        With `names`, of the options that have a say in one of these settings; the others stay at their first.
        """
        return _combinations(self.settings, names)

    def always(self) -> set[str]:
        """The settings that every combination of options has."""
        return _always(self.settings)

    def params(self, wanted: Settings) -> dict[str, Any] | None:
        """The Optuna parameters that give the settings `wanted`, or None if this space has no such point."""
        fields = TrainConfig.model_fields
        defaults = {name: fields[name].default if name in fields else None for name in wanted}
        for params in itertools.islice(self._params(wanted, self.settings, ""), 1000):
            got = defaults | self.suggest(FixedTrial(params))
            if all(got[name] == wanted[name] for name in wanted):
                return params
        return None

    def _params(self, wanted: Settings, settings: Settings, branch: str) -> Iterator[dict[str, Any]]:
        """Parameters that give what `wanted` says, as far as each option can be judged alone."""
        axes: list[list[dict[str, Any]]] = []
        for name, setting in settings.items():
            dimension = self._dimension(name, branch)
            if isinstance(setting, BaseDistribution):
                fits = isinstance(wanted.get(name), (int, float)) and contains(setting, wanted[name])
                axes.append([{dimension: wanted[name]}] if fits else [])
            elif isinstance(setting, Choice):
                axis: list[dict[str, Any]] = []
                for label, option in setting.options.items():
                    fixed = option if isinstance(option, dict) else {name: option}
                    if all(_varies(value) or wanted.get(key) == value for key, value in fixed.items()):
                        inner = fixed if isinstance(option, dict) else {}
                        parts = self._params(wanted, inner, f"{branch}.{label}".lstrip("."))
                        axis += [{dimension: label, **part} for part in parts]
                axes.append(axis)
        for chosen in itertools.product(*axes):
            yield {name: value for part in chosen for name, value in part.items()}

    def fix(self, name: str, text: str, free: bool = False) -> SearchSpace:
        """This space with the setting `name` fixed to what `text` says: an option's label, or a value.

        `free` allows names that are not TrainConfig's. Raises SearchError for an unknown name or label.
        """
        settings, found = _fix(self.settings, name, text)
        if not found:
            names = {known for known, _ in self.walk()} | (set() if free else set(TrainConfig.model_fields))
            if free or name not in names:
                raise SearchError(f"{option('set', f'{name}={text}')}: unknown setting {name!r}{nearest(name, names)}")
            settings[name] = parse_value(name, text)
        return SearchSpace(**settings)

    def describe(self) -> dict[str, str]:
        """Each setting as text, to tell two spaces apart and to show one."""
        return {name: values.text(setting) for name, setting in sorted(self.settings.items())}

    def described_before(self) -> dict[str, str]:
        """The texts by which a version before told spaces apart; they were not the same in every process."""
        return {name: repr(setting) for name, setting in sorted(self.settings.items())}


def _same(kept: Any, value: Any) -> bool:
    """Whether a setting that the record `kept` is this value."""
    return bool(plain(kept) == plain(value))


def _varies(setting: Any) -> bool:
    return isinstance(setting, (BaseDistribution, Choice))


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether the distribution may give the value; Optuna checks that of a trial, but for texts and halves."""
    try:
        if isinstance(distribution, (Float, Int)) and not isinstance(value, Real):
            return False
        if isinstance(distribution, Int) and int(value) != value:
            return False
        create_trial(value=0.0, params={"x": value}, distributions={"x": distribution})
    except (ValueError, OverflowError):
        return False
    return True


def _combinations(settings: Settings, names: Collection[str] | None) -> Iterator[dict[str, Any]]:
    axes: list[list[dict[str, Any]]] = []
    for name, setting in settings.items():
        if isinstance(setting, Choice):
            axis: list[dict[str, Any]] = []
            for option in setting.options.values():
                axis += _combinations(option, names) if isinstance(option, dict) else [{name: option}]
            matters = names is None or any(key in names for part in axis for key in part)
            axes.append(axis if matters else axis[:1])
        else:
            axes.append([{name: setting.low if isinstance(setting, (Float, Int)) else setting}])
    for parts in itertools.product(*axes):
        yield {name: value for part in parts for name, value in part.items()}


def _always(settings: Settings) -> set[str]:
    found: set[str] = set()
    for name, setting in settings.items():
        options = setting.options.values() if isinstance(setting, Choice) else [setting]
        found |= set.intersection(*(_always(o) if isinstance(o, dict) else {name} for o in options))
    return found


def _fix(settings: Settings, name: str, text: str) -> tuple[dict[str, Any], bool]:
    fixed: dict[str, Any] = {}
    found = False
    for key, setting in settings.items():
        if key == name and isinstance(setting, Choice):
            option = _option(name, setting, text)
            fixed |= option if isinstance(option, dict) else {name: option}
            found = True
        elif key == name:
            fixed[name] = parse_value(name, text)
            found = True
        elif isinstance(setting, Choice):
            inside = {
                label: _fix(option, name, text) if isinstance(option, dict) else (option, False)
                for label, option in setting.options.items()
            }
            fixed[key] = Choice(**{label: option for label, (option, _) in inside.items()})
            found = found or any(hit for _, hit in inside.values())
        else:
            fixed[key] = setting
    return fixed, found


def _option(name: str, choice: Choice, text: str) -> Any:
    if text not in choice.options:
        raise SearchError(f"{option('set', f'{name}={text}')}: {name} is one of {', '.join(choice.options)}")
    return choice.options[text]


def _takes_none(name: str) -> bool:
    """Whether None is a value of the setting; of `augment` it is not, whose ``none`` is a word."""
    try:
        check_value(name, None)
    except SearchError:
        return name in ("frozen", "hidden")
    except KeyError:  # a name that the user chose
        return True
    return True


def parse_value(name: str, text: str) -> Any:
    """The value that `text` means for a setting: a Python literal, else the text itself; ``none`` is None."""
    try:
        with warnings.catch_warnings(action="ignore"):  # `3in.pth` begins like a number
            value = None if text.lower() == "none" and _takes_none(name) else ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        value = text
    if name == "hidden" and (value is None or isinstance(value, int)):
        return () if value is None else (value,)
    if name == "frozen" and not isinstance(value, tuple):
        return tuple(part for part in str(value or "").split(",") if part)
    return value
