"""An earlier trial as a point of a space that may have changed since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, check_distribution_compatibility
from optuna.trial import FixedTrial, FrozenTrial

from search.config import is_train_config, make_config
from search.space.file import SpaceFile
from search.space.points import outside
from search.space.space import Choice, SearchSpace
from search.study.attributes import TrialRecord, config_of


class Unfit(Exception):
    """The new space has no such point."""

    def __init__(self, name: str, outside: str = "") -> None:
        """`outside`: why the value of `name` is none of its range; empty if there is no value."""
        super().__init__(f"{name}, {'outside the new range' if outside else 'which it has not'}")
        self.name, self.outside = name, outside


class Replay(FixedTrial):
    """Answers with the `known` values; raises Unfit at the first that is absent or outside its range."""

    def __init__(self, known: dict[str, Any]) -> None:
        super().__init__(known)
        self.known = known

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self.known and distribution.single():
            only: Any = distribution
            self.known[name] = only.choices[0] if isinstance(only, CategoricalDistribution) else only.low
        if name not in self.known:
            raise Unfit(name)
        if said := outside({name: self.known[name]}, {name: distribution}):
            raise Unfit(name, said)
        return super()._suggest(name, distribution)


def known_values(space: SpaceFile, trial: FrozenTrial) -> dict[str, Any]:
    """The values of an earlier trial under the names of the dimensions of `space`.

    Fixed values count like searched ones, and options by their meaning, not their label. For a space(trial), and for
    a dimension that stands in two branches, the names alone decide.
    """
    return meant(space, dict(trial.params), config_of(trial))


def meant(space: SpaceFile, known: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The `known` values of dimensions, and those that the settings of a trial give others, as in `known_values`."""
    if is_train_config(settings):
        settings = dict(make_config(settings))  # with the tuples, of which JSON makes lists
    for name, setting in space.space.walk() if isinstance(space.space, SearchSpace) else ():
        if isinstance(setting, Choice):
            labels = setting.labels(name, settings)
            if labels and known.get(name) not in labels:
                known[name] = labels[0]
        elif isinstance(setting, BaseDistribution) and name in settings:
            known[name] = settings[name]
    return known | dict(space.fixed)


def misfits(trials: Iterable[FrozenTrial], space: SpaceFile) -> Counter[str]:
    """Why trials are no points of the space: reason to how many. Of those that have begun the whole config counts."""
    found: Counter[str] = Counter()
    for trial in trials:
        if trial.params or TrialRecord(trial).config is not None:
            found.update(filter(None, [_misfit(trial, space)]))
    return found


def _misfit(trial: FrozenTrial, space: SpaceFile) -> str:
    replay = Replay(known_values(space, trial))
    try:
        settings = space.suggest(replay)
    except Exception as error:  # the user's space(trial) may raise anything
        return str(error) if isinstance(error, Unfit) else f"space(trial), which raised {type(error).__name__}"
    for name, range_ in trial.distributions.items():
        if name not in replay.distributions:
            return f"{name}, which is searched no more"
        try:
            check_distribution_compatibility(range_, replay.distributions[name])
        except ValueError:
            return f"{name}, whose options may not change within a study"
    before = TrialRecord(trial).config
    if before is None:
        return ""
    if is_train_config(config_of(trial)):
        before, settings = config_of(trial), make_config(settings).model_dump(mode="json")
    differs = next((n for n in sorted({*before, *settings}) if _plain(before.get(n)) != _plain(settings.get(n))), None)
    return "" if differs is None else f"{differs}, which was {before.get(differs)!r} and is {settings.get(differs)!r}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
