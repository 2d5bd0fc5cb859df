"""What a study and its trials keep beside Optuna's own values: every stored name stands here, with its type."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Generic, Protocol, TypeVar

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import TypeAdapter, ValidationError

from search.config import Epoch, is_train_config, with_defaults
from search.errors import visible
from search.format import plural
from search.space.baselines import Baseline

BY_HAND = "stopped: by hand, in the dashboard"
"""Why a trial failed that somebody ended in the dashboard; such a trial has no `error`, which no storage takes then."""
JUDGED_BY = ("config", "error", "refused")
"""The attributes by which a later study judges a trial."""

_ROW = TypeAdapter(Baseline)
T = TypeVar("T")


class Holder(Protocol):
    """A study, a trial, or a Draft."""

    @property
    def user_attrs(self) -> dict[str, Any]: ...
    def set_user_attr(self, key: str, value: Any) -> None: ...


class Draft:
    """Attributes of a trial that are not stored yet, for who stores several at once; or that were read alone."""

    def __init__(self, kept: dict[str, Any] | None = None) -> None:
        self.user_attrs: dict[str, Any] = kept or {}

    def set_user_attr(self, key: str, value: Any) -> None:
        self.user_attrs[key] = value


class _Record:
    def __init__(self, holder: Holder) -> None:
        self.holder = holder


class _Key(Generic[T]):
    """A stored attribute; None if nobody wrote it, or another program wrote something of another type."""

    def __init__(self, *kinds: type[T], name: str = "") -> None:
        self._kinds, self._name = kinds, name

    def __set_name__(self, owner: type[_Record], name: str) -> None:
        self._name = self._name or name

    def __get__(self, record: _Record, owner: type[_Record]) -> T | None:
        value = record.holder.user_attrs.get(self._name)
        return value if isinstance(value, self._kinds) else None

    def __set__(self, record: _Record, value: T | None) -> None:
        record.holder.set_user_attr(self._name, value)


class _Dict(_Key[dict[str, Any]]):
    """A stored mapping; empty if there is none, or it does not fit."""

    def __init__(self, fits: Callable[[dict[str, Any]], bool] = bool) -> None:
        super().__init__(dict)
        self._fits = fits

    def __get__(self, record: _Record, owner: type[_Record]) -> dict[str, Any]:
        value = super().__get__(record, owner) or {}
        return value if self._fits(value) else {}


class _Measured(_Dict):
    """A stored mapping whose `numbers` are numbers, where they are there; what is none is left out."""

    def __init__(self, *numbers: str) -> None:
        super().__init__()
        self._numbers = numbers

    def __get__(self, record: _Record, owner: type[_Record]) -> dict[str, Any]:
        kept = super().__get__(record, owner)
        return {name: value for name, value in kept.items() if name not in self._numbers or _is_number(value)}


def _is_driver(held: dict[str, Any]) -> bool:
    texts = all(isinstance(held.get(name), str) for name in ("host", "token"))
    return texts and isinstance(held.get("pid"), int) and isinstance(held.get("beat"), (int, float))


class _Tests(_Dict):
    """Evaluations on the test split, each by its trial's number."""

    def __get__(self, record: _Record, owner: type[_Record]) -> dict[str, Any]:
        kept = super().__get__(record, owner)
        return {number: test for number, test in kept.items() if number.isdecimal() and _is_test(test)}


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _is_test(test: Any) -> bool:
    known = isinstance(test, dict) and isinstance(test.get("test_acc"), (int, float))
    return known and all(_is_number(test.get(name)) for name in ("images", "val_acc", "looks"))


class _Baselines(_Key[list[Any]]):
    """Stored hand-tuned rows."""

    def __init__(self) -> None:
        super().__init__(list)

    def __get__(self, record: _Record, owner: type[_Record]) -> list[Baseline] | None:
        rows = super().__get__(record, owner)
        try:
            return None if rows is None else [_ROW.validate_python(row) for row in rows]
        except ValidationError:  # another program's
            return None

    def __set__(self, record: _Record, value: Sequence[Baseline] | None) -> None:
        super().__set__(record, None if value is None else [asdict(row) for row in value])


class StudyRecord(_Record):
    """The attributes of a study. Each access reads or writes the storage."""

    space = _Key(dict)
    """Setting to text: how `SpaceFile.describe` tells one space from another."""
    metric = _Key(str)
    """The name of what the study optimises."""
    own_train = _Key(bool)
    """Whether the space file has its own train(). None: `search run` did not make the study."""
    space_file = _Key(str)
    """The path of the space file whose train() trained the last run, on the machine of that run."""
    baselines = _Baselines()
    """The hand-tuned rows. None: they are not queued yet."""
    driver = _Dict(_is_driver)
    """Who runs the study: `host`, `pid`, `token`, and `beat`, seconds since the epoch. Empty: nobody."""
    ended = _Key(str)
    """Why the last run stopped before the study had all its trials."""
    tests = _Tests()
    """Trial number, as text, to its evaluation on the test split (`search.study.test_split`)."""
    confirms = _Key(str)
    """The name of the study that this one confirms."""
    learnt = _Key(list)
    """The names of the studies that its first points were learnt from. None: nobody looked for some."""
    data = _Dict()
    """Data set, as a config names it, to what tells it from others (`search.data.identity`)."""
    weights = _Dict()
    """Weights, as `search.study.data.weights_name` names them, to what tells their content from others."""
    sizes = _Dict()
    """Kind of model, as `search.study.data.kind_of` names it, to what it takes, by the names of `config.COSTS`."""
    limits = _Dict()
    """The most that a point of the last run may take of a cost."""


class TrialRecord(_Record):
    """The attributes of a trial, or of a draft of one."""

    config = _Key(dict)
    """The settings it runs with. None: it has not begun."""
    epoch = _Measured("machine_seconds", *Epoch.measures())
    """What its last epoch measured, and `machine_seconds`, the time of all its epochs and attempts."""
    cost = _Dict()
    """What its model takes (`search.train.footprint`), and `gpus` and `cpus`, its shares of devices."""
    ran_on = _Dict(lambda ran_on: isinstance(ran_on.get("device"), str))
    """Device, precision, threads and versions."""
    data = _Key(str)
    """The fingerprint of the data set that it was trained on. None: it is not known."""
    weights = _Key(str)
    """What tells the weights that it began with from others. None: it began without, or it is not known."""
    code = _Key(str)
    """What tells the code of a train() of one's own from other code (`search.space.code`). None: it is not known."""
    resumed_after = _Key(list)
    """The epochs after which it was interrupted and went on."""
    notes = _Key(list)
    """Lines for the user from its last epoch that had some."""
    val_images = _Key(int)
    """How many validation images it was measured on."""
    test = _Dict(_is_test)
    """Its evaluation on the test split, of a confirmation's trial: `test_acc`, a fraction of so many `images`."""
    audited = _Key(int)
    """The epoch at which the pruner would have stopped it. None: the pruner never would have, or did."""
    error = _Key(str)
    """Why it failed; begins with one of `search.engine.failures.CLASSES`."""
    pruned = _Key(str)
    """Why its own code pruned it, by TrialPruned. None: it did not."""
    refused = _Key(str)
    """Why it was pruned before it trained: the limit that its model exceeds. None: it was not."""
    rungs = _Dict()
    """Of several objectives: epoch, as text, at which ASHA compares, to the value of each objective there."""
    attempts = _Key(int)
    """How often in a row its worker died without a new epoch."""
    alone = _Key(bool)
    """It ran out of memory beside others, and is tried again without them."""
    baseline = _Key(str)
    """The name of the hand-tuned row that it is."""
    source = _Key(str, name="from")
    """The study and trial that its parameters come from (`--from`)."""
    learnt = _Key(list)
    """The names of the studies that promise it. None: it was not chosen by that; empty: they were wrong, it is free."""
    of = _Key[int | str](int, str)
    """What a confirmation's trial confirms: a trial's number, or the name of a hand-tuned row."""
    put_back = _Dict()
    """Of that trial, the `settings` that it has here as the hand-tuned `row` has them. Empty: it is as it was."""

    def __init__(self, trial: Holder | None = None) -> None:
        super().__init__(trial or Draft())

    @property
    def stored(self) -> dict[str, Any]:
        """All attributes by their stored names."""
        return self.holder.user_attrs


def metric_of(study: Study) -> str:
    """The name of what the study optimises."""
    return StudyRecord(study).metric or metrics_of(study)[0]


def metrics_of(study: Study) -> list[str]:
    """The name of each objective of a study that may have several."""
    count = len(study.directions)
    names = texts(study.metric_names)
    return names if len({*names}) == count else ["value"] if count == 1 else [f"value {i}" for i in range(count)]


def texts(names: Any) -> list[str]:
    """The objectives' names that Optuna keeps; none, where somebody wrote something else."""
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []


def value_of(trial: FrozenTrial) -> float | None:
    """What the trial reached; None if that is no finite number, which would lead every ranking, or several."""
    values = trial.values or []
    return float(values[0]) if len(values) == 1 and math.isfinite(values[0]) else None


def feasible(trial: FrozenTrial) -> bool:
    """Whether it keeps the constraints of the study's sampler (`constraints_func`), if that has some."""
    return all(value <= 0 for value in trial.constraints.values())


def epoch_of(trial: FrozenTrial) -> dict[str, Any]:
    """What its last epoch measured; empty if `search run` did not make it."""
    return TrialRecord(trial).epoch


def config_of(trial: FrozenTrial) -> dict[str, Any]:
    """The settings a trial ran with; its parameters, if plain Optuna code made it."""
    settings = dict(TrialRecord(trial).config or trial.params)
    return with_defaults(settings) if is_train_config(settings) else settings


def ranked(study: Study) -> list[FrozenTrial]:
    """The COMPLETE trials, the best first; equal values in the order of their numbers, what is no number last.

    Those that break a constraint come behind all others. Of several objectives: those that no other beats, by number.
    """
    if len(study.directions) > 1:
        return sorted(study.best_trials, key=lambda trial: trial.number)
    sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))

    def rank(trial: FrozenTrial) -> tuple[bool, float, int]:
        value = value_of(trial)
        return (not feasible(trial), math.inf if value is None else sign * value, trial.number)

    return sorted(done, key=rank)


def loss_signs(study: Study) -> list[int]:
    """By what each objective is multiplied so that less of it is better: -1 or 1."""
    return [-1 if way == StudyDirection.MAXIMIZE else 1 for way in study.directions]


def leading(study: Study) -> list[FrozenTrial]:
    """The trials of `ranked` that may be the best: they keep the constraints, and a single objective is a number."""
    several = len(study.directions) > 1
    return [trial for trial in ranked(study) if feasible(trial) and (several or value_of(trial) is not None)]


def no_best(study: Study) -> str:
    """Why `leading` has nothing."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    broken = sum(not feasible(trial) for trial in done)
    if not done:
        return "no trial completed"
    if broken == len(done):
        all_of_them = "all break" if broken > 1 else "it breaks"
        return f"{plural(broken, 'trial')} completed, and {all_of_them} a constraint, so there is no best"
    which = "completed trial that keeps the constraints" if broken else "completed trial"
    return f"no {which} has a number for its {visible(metric_of(study))}, so there is no best"
