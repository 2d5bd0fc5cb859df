"""What `search confirm` found: leaders and the best hand-tuned row, trained again with new seeds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.format import setting
from search.study.attributes import StudyRecord, TrialRecord, config_of, epoch_of, value_of
from search.study.storage.internals import storage_of


@dataclass
class Row:
    """One config and what its new seeds gave, seed by seed as in `seeds`.

    `val` and `test` are fractions; with a train() of the space file, `val` has its metric, and `test` is empty.
    """

    of: int | str
    """The trial's number, or the name of a hand-tuned row that is no trial."""
    baseline: str | None
    seeds: list[int] = field(default_factory=list)
    val: list[float] = field(default_factory=list)
    test: list[float] = field(default_factory=list)
    failed: int = 0
    waiting: int = 0
    put_back: dict[str, Any] | None = None
    """Of the trial, the `settings` that it has here as the hand-tuned `row` has them. None: it is as it was."""

    @property
    def label(self) -> str:
        if isinstance(self.of, str):
            return f"hand-tuned: {self.of}"
        if self.put_back:
            return f"trial {self.of} with {self.change}"
        return f"trial {self.of}" + (f", as {self.baseline}" if self.baseline else "")

    @property
    def change(self) -> str:
        """What is put back, in words."""
        settings = (self.put_back or {}).get("settings", {})
        return ", ".join(f"{name} = {setting(value)}" for name, value in settings.items())


def row_of(record: TrialRecord) -> Row:
    """The row that a confirmation's trial belongs to, still empty."""
    return Row("" if record.of is None else record.of, record.baseline, put_back=record.put_back or None)


def name_of(study: str) -> str:
    """The name of the study that confirms `study`."""
    return f"{study}.confirm"


def confirms(study: Study) -> str | None:
    """The name of the study that `study` confirms; None if it confirms none."""
    return StudyRecord(study).confirms


def sibling(study: Study, name: str) -> Study | None:
    """The study called `name` in the same storage, if there is one."""
    try:
        return optuna.load_study(study_name=name, storage=storage_of(study))
    except KeyError:
        return None


def of(study: Study) -> Study | None:
    """The study that confirms `study`, if there is one."""
    found = sibling(study, name_of(study.study_name))
    return found if found is not None and confirms(found) == study.study_name else None


def but_seed(config: Mapping[str, Any]) -> str:
    """A config without its seed, such that equal ones are equal."""
    return json.dumps({name: value for name, value in config.items() if name != "seed"}, sort_keys=True)


def rows(
    seeds: Iterable[FrozenTrial], trials: Sequence[FrozenTrial] | None, ranked: Sequence[FrozenTrial] = ()
) -> list[Row]:
    """What a confirmation's trials found, in the order of the ranking; hand-tuned rows that are no trials come last.

    `trials`, `ranked`: of the study that they confirm; None where that study is gone. Seeds of a trial that the study
    no longer has, because it was made anew under its name, are left out.
    """
    found: dict[tuple[int | str, str], Row] = {}
    for seed in seeds:
        record = TrialRecord(seed)
        row = row_of(record)
        if isinstance(row.of, int) and trials is not None and not _same(seed, trials, row):
            continue
        if record.of is not None:
            _add(found.setdefault((row.of, row.change), row), seed)
    ranks = {trial.number: rank for rank, trial in enumerate(ranked)}
    last = len(trials or ())
    return sorted(found.values(), key=lambda row: ranks.get(row.of, last) if isinstance(row.of, int) else last + 1)


def _same(trial: FrozenTrial, trials: Sequence[FrozenTrial], row: Row) -> bool:
    if not isinstance(row.of, int) or row.of >= len(trials):
        return False
    changed = config_of(trials[row.of]) | (row.put_back or {}).get("settings", {})
    return but_seed(config_of(trial)) == but_seed(changed)


def _add(row: Row, trial: FrozenTrial) -> None:
    test = TrialRecord(trial).test
    value = epoch_of(trial).get("val_acc") if test else value_of(trial)
    seed = config_of(trial).get("seed")
    if trial.state == TrialState.COMPLETE and isinstance(value, float) and isinstance(seed, int):
        row.seeds.append(seed)
        row.val.append(value)
        row.test += [test["test_acc"]] if test else []
    elif trial.state == TrialState.FAIL:
        row.failed += 1
    elif not trial.state.is_finished():
        row.waiting += 1
