"""What `search confirm` trains again: the leaders, the best hand-tuned row, the best with one setting put back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.analysis import confirmation
from search.analysis.view import StudyView
from search.config import is_train_config, make_config
from search.errors import SearchError, option, switch
from search.space.baselines import Baseline
from search.study.attributes import TrialRecord, config_of

_SHARED = ("dataset", "subset", "batch_size", "precision")
"""What a hand-tuned row does not say and takes from the search, where all of that has one value."""
_TOGETHER = (
    ("schedule", "step_size", "gamma", "warmup_epochs"),
    ("optimizer", "momentum", "nesterov"),
    ("weights", "frozen"),
)
"""Settings that mean nothing without the first of them: where that changes, they change with it."""


@dataclass(frozen=True)
class Candidate:
    """A config to be trained again: a trial's, or that of a hand-tuned row that is no trial."""

    of: int | str
    baseline: str | None
    config: dict[str, Any]
    put_back: dict[str, Any] | None = None
    """Of the trial `of`, which settings it has here of a hand-tuned row: `row`, and `settings` with their values."""

    @property
    def label(self) -> str:
        return confirmation.Row(self.of, self.baseline, put_back=self.put_back).label

    def seeds(self, wanted: int) -> list[int]:
        """The first so many that it was not searched with."""
        return list(islice((seed for seed in count() if seed != self.config["seed"]), wanted))


def candidates(study: Study, top: int, also: Sequence[int] = (), ablate: bool = False) -> list[Candidate]:
    """The best `top` trials of `study`, those in `also`, and the best hand-tuned row.

    `ablate`: then the best trial with one setting at a time as in the nearest hand-tuned row. Raises SearchError for a
    study or a trial that cannot be confirmed.
    """
    view = StudyView(study)
    done = _that_can_be_told_a_seed(view, top)
    chosen = {trial.number for trial in done[:top]} | {_completed(view, number).number for number in also}
    leaders = [trial for trial in done if trial.number in chosen]
    hand = None if view.record.own_train else _hand_tuned(view)
    leaders += [hand] if isinstance(hand, FrozenTrial) and hand not in leaders else []
    found = [Candidate(t.number, TrialRecord(t).baseline, config_of(t)) for t in leaders]
    found += [hand] if isinstance(hand, Candidate) else []
    return [*found, *_put_back(view, done[0])] if ablate else found


def _that_can_be_told_a_seed(view: StudyView, top: int) -> list[FrozenTrial]:
    """The completed trials, the best first. Raises SearchError if they cannot be confirmed."""
    if view.confirms is not None:
        raise SearchError(f"the study {view.name!r} is a confirmation itself; name the study that it confirms")
    if view.several:
        raise SearchError(f"the study {view.name!r} has {len(view.metrics)} objectives and no leaders to confirm")
    if not view.done:
        raise SearchError(f"the study {view.name!r} has no completed trial to confirm")
    if view.record.own_train:
        if not all(isinstance(config_of(trial).get("seed"), int) for trial in view.done[:top]):
            raise SearchError(
                f"the study {view.name!r} has a train() of its own that is told no seed: "
                'give its space a setting seed=0, and use config["seed"] in train()'
            )
    elif view.record.own_train is None or not is_train_config(config_of(view.done[0])):
        raise SearchError(
            f"the study {view.name!r} was not made by `search run`, whose trials alone can be told a seed"
        )
    return view.done


def _completed(view: StudyView, number: int) -> FrozenTrial:
    said = option("trial", number)
    if not 0 <= number < len(view.trials):
        raise SearchError(f"{said}: the study {view.name!r} has no such trial, its last is {len(view.trials) - 1}")
    trial = view.trials[number]
    if trial.number not in {done.number for done in view.done}:
        state = "is not feasible" if trial.state == TrialState.COMPLETE else f"is {trial.state.name.lower()}"
        raise SearchError(f"{said}: it {state}; only completed trials can be confirmed")
    return trial


def _hand_tuned(view: StudyView) -> Candidate | FrozenTrial | None:
    """The best hand-tuned row; as the trial that it is, where the space has it."""
    best = view.best_baseline
    if best is None:
        return None
    for trial in view.done:
        if TrialRecord(trial).baseline == best.name:
            return trial
    return Candidate(best.name, best.name, _config_of_row(view, best))


def _config_of_row(view: StudyView, row: Baseline) -> dict[str, Any]:
    """The config that trains a hand-tuned row. Raises SearchError."""
    shared: dict[str, Any] = {}
    for name in _SHARED:
        values = [config_of(trial)[name] for trial in view.done]
        if name == "dataset" or values.count(values[0]) == len(values):
            shared[name] = values[0]
    return make_config({**shared, **row.settings}).model_dump(mode="json")


def _put_back(view: StudyView, best: FrozenTrial) -> list[Candidate]:
    """`best` with one setting at a time as in the nearest hand-tuned row. Raises SearchError where there is none."""
    said = switch("ablate")
    if view.record.own_train:
        raise SearchError(f"{said}: the study {view.name!r} has a train() of its own, and hand-tuned rows have none")
    if not view.baselines:
        raise SearchError(
            f"{said}: the study {view.name!r} has no hand-tuned rows; a space file names them in `baselines`"
        )
    changes = {row.name: _changes(view, best, row) for row in view.baselines}
    row = min(view.baselines, key=lambda row: (_other_model(best, row), len(changes[row.name]), -row.val_acc))
    if not changes[row.name]:
        raise SearchError(
            f"{said}: the best, trial {best.number}, has no setting that the hand-tuned {row.name} has not"
        )
    config = config_of(best)
    return [
        Candidate(best.number, None, config | change, {"row": row.name, "settings": change})
        for change in changes[row.name]
    ]


def _other_model(best: FrozenTrial, row: Baseline) -> bool:
    return bool(config_of(best)["model"] != row.settings["model"])


def _changes(view: StudyView, best: FrozenTrial, row: Baseline) -> list[dict[str, Any]]:
    """What each candidate of an ablation takes from the row: of settings that the row states or the space varies.

    Of a row of another model, its weights and frozen layers stay away: they are that model's.
    """
    there, here = _config_of_row(view, row), config_of(best)
    asked = {*view.varied, *row.settings} - {"model", "seed"}
    if _other_model(best, row):
        asked -= {"weights", "frozen"}
    differ = [name for name in here if name in asked and there[name] != here[name]]
    found: list[dict[str, Any]] = []
    for name in differ:
        group = next((group for group in _TOGETHER if name in group and there[group[0]] != here[group[0]]), (name,))
        change = {other: there[other] for other in group if there[other] != here[other]}
        if change not in found:
            found.append(change)
    return found
