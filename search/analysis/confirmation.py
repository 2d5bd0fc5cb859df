"""What `search confirm` found: leaders and the best hand-tuned row, trained again with new seeds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.analysis.statistics import LEVEL, welch
from search.study import test_split
from search.study.study import config_of, epoch_of, ranked

FEW = 5
"""Of fewer seeds a side, the page says how little they show."""


@dataclass
class Row:
    """One config and what its new seeds gave; `val` and `test` are fractions, seed by seed as in `seeds`."""

    of: int | str
    """The trial's number, or the name of a hand-tuned row that is no trial."""
    baseline: str | None
    seeds: list[int] = field(default_factory=list)
    val: list[float] = field(default_factory=list)
    test: list[float] = field(default_factory=list)
    failed: int = 0
    waiting: int = 0

    @property
    def label(self) -> str:
        if isinstance(self.of, str):
            return f"hand-tuned: {self.of}"
        return f"trial {self.of}" + (f", as {self.baseline}" if self.baseline else "")


def name_of(study: str) -> str:
    """The name of the study that confirms `study`."""
    return f"{study}.confirm"


def confirms(study: Study) -> str | None:
    """The name of the study that `study` confirms, if it was made for that."""
    name = study.user_attrs.get("confirms")
    return name if isinstance(name, str) else None


def sibling(study: Study, name: str) -> Study | None:
    """The study called `name` in the same storage, if there is one."""
    try:
        return optuna.load_study(study_name=name, storage=study._storage)
    except KeyError:
        return None


def of(study: Study) -> Study | None:
    """The study that confirms `study`, if there is one."""
    found = sibling(study, name_of(study.study_name))
    return found if found is not None and confirms(found) == study.study_name else None


def but_seed(config: Mapping[str, Any]) -> str:
    """A config without its seed, such that equal ones are equal."""
    return json.dumps({name: value for name, value in config.items() if name != "seed"}, sort_keys=True)


def rows(study: Study) -> list[Row]:
    """What was confirmed of `study`, in the order of its ranking, hand-tuned rows that are no trials last.

    What confirms trials that `study` no longer has, because it was made anew under its name, is left out.
    """
    made = of(study)
    return _rows(study, made) if made is not None else []


def rows_of_seeds(made: Study) -> list[Row]:
    """The same of the study that confirms another, be that still there or not."""
    return _rows(sibling(made, confirms(made) or ""), made)


def _rows(study: Study | None, made: Study) -> list[Row]:
    trials = study.get_trials(deepcopy=False) if study is not None else []
    found: dict[int | str, Row] = {}
    for trial in made.get_trials(deepcopy=False):
        of = trial.user_attrs.get("of")
        if isinstance(of, int) and study is not None and not _same(trial, trials, of):
            continue
        if isinstance(of, (int, str)):
            _add(found.setdefault(of, Row(of, trial.user_attrs.get("baseline"))), trial)
    places = {trial.number: place for place, trial in enumerate(ranked(study) if study is not None else [])}
    last = len(trials)
    return sorted(found.values(), key=lambda row: places.get(row.of, last) if isinstance(row.of, int) else last + 1)


def _same(trial: FrozenTrial, trials: Sequence[FrozenTrial], of: int) -> bool:
    return of < len(trials) and but_seed(config_of(trial)) == but_seed(config_of(trials[of]))


def _add(row: Row, trial: FrozenTrial) -> None:
    val_acc, looked = epoch_of(trial).get("val_acc"), trial.user_attrs.get("test")
    if trial.state == TrialState.COMPLETE and isinstance(val_acc, float) and looked:
        row.seeds.append(config_of(trial)["seed"])
        row.val.append(val_acc)
        row.test.append(looked["test_acc"])
    elif trial.state == TrialState.FAIL:
        row.failed += 1
    elif not trial.state.is_finished():
        row.waiting += 1


def tested(study: Study) -> dict[str, dict[str, Any]]:
    """By trial number, as text: its test accuracy; of a confirmed trial the mean over `seeds` new seeds."""
    means = {str(row.of): {"test_acc": mean(row.test), "seeds": len(row.test)} for row in rows(study) if row.test}
    return test_split.of(study) | means


def count_looks(study: Study) -> int:
    """How often the test split was looked at for `study`: by `run` and `train`, and by each seed of `confirm`."""
    own = sum(test_split.count_of(looked) for looked in test_split.of(study).values())
    made = of(study)
    return own + sum("test" in trial.user_attrs for trial in (made.get_trials(deepcopy=False) if made else []))


def said_of_looks(study: Study) -> str:
    """How often the test split was looked at; nothing of a study that has none."""
    count = count_looks(study)
    if not count and study.user_attrs.get("own_train") is not False:
        return ""
    times = {0: "not looked at", 1: "looked at once"}.get(count, f"looked at {count} times")
    return f"The test split was {times}."


def cells(found: Sequence[Row]) -> list[dict[str, str]]:
    """The table: column to text."""
    return [
        {
            "Config": row.label,
            "SEEDS": ", ".join(map(str, sorted(row.seeds))) + _missing(row),
            "VALIDATION ACC": spread(row.val),
            "TESTING ACC": spread(row.test),
        }
        for row in found
    ]


def _missing(row: Row) -> str:
    parts = [f"{row.failed} failed"] * bool(row.failed) + [f"{row.waiting} to come"] * bool(row.waiting)
    return f" ({', '.join(parts)})" if parts else ""


def spread(values: Sequence[float]) -> str:
    """Mean, standard deviation, least and greatest."""
    if len(values) < 2:
        return "".join(f"{value:.4f}" for value in values)
    return f"{mean(values):.4f} ± {stdev(values):.4f} ({min(values):.4f} to {max(values):.4f})"


def verdict(study: Study, found: Sequence[Row]) -> str:
    """Whether the leader's advantage over the best hand-tuned row exceeds the spread of the seeds."""
    own = [row for row in found if row.baseline is None]
    hand = [row for row in found if row.baseline is not None]
    first = ranked(study)[:1]
    text = ""
    if first and "baseline" not in first[0].user_attrs and first[0].number not in [row.of for row in own]:
        text = f"Trial {first[0].number} leads the ranking now, and is not confirmed. "
    if not own or len(own) + len(hand) < 2:
        return text.strip()
    a, b = (own[0], hand[0]) if hand else own[:2]
    result = welch(a.test, b.test)
    if not a.test or not b.test:
        return text.strip()
    gap = mean(a.test) - mean(b.test)
    text += f"On the test split {a.label} has {mean(a.test):.4f}, {b.label} {mean(b.test):.4f}: {gap:+.4f}"
    counts = f"{len(a.test)} and {len(b.test)} new seeds"
    if result is None:
        return f"{text}. Whether that exceeds the spread of the seeds, {counts} cannot say."
    p, low, high = result
    beyond = (
        "more than the spread of the seeds gives" if p <= 1 - LEVEL else "no more than the spread of the seeds may give"
    )
    text += f", {beyond} (Welch's t-test, p = {p:.2g}; 95% interval {low:+.4f} to {high:+.4f}; {counts})."
    if min(len(a.test), len(b.test)) < FEW:
        text += " So few seeds show large differences only, and the test trusts that they spread normally."
    return text


def as_data(study: Study) -> list[dict[str, Any]]:
    """The table for other programs."""
    return [
        {"of": row.of, "baseline": row.baseline, "seeds": row.seeds, "val_acc": row.val, "test_acc": row.test}
        | {"val_acc_mean": _mean(row.val), "test_acc_mean": _mean(row.test), "failed": row.failed}
        for row in rows(study)
    ]


def _mean(values: Sequence[float]) -> float:
    return mean(values) if values else math.nan
