"""A study, read once: what its report, its pictures and a comparison ask of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import mean
from typing import Any

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.analysis import confirmation, importance, ties
from search.analysis.cost import Cost, cost
from search.analysis.importance import Effect
from search.analysis.ties import Ties
from search.analysis.together import Together, together
from search.config import is_validation_accuracy
from search.metrics.bootstrap import interval
from search.metrics.registry import MEASURES
from search.predictions import Predictions
from search.space.baselines import Baseline
from search.study import attributes, test_split
from search.study.attributes import StudyRecord, TrialRecord


def varying(searched: Iterable[str], settings: Mapping[str, Any], first: Mapping[str, Any]) -> set[str]:
    """The settings of a trial that are `searched`, or that differ from those of the `first`."""
    names = {name.rpartition(".")[2] for name in searched}
    return names | {name for name in settings.keys() & first.keys() if settings[name] != first[name]}


@dataclass(frozen=True)
class StudyView:
    """A study as it was when a property was first read; each is read or computed once."""

    study: Study

    @property
    def name(self) -> str:
        return self.study.study_name

    @property
    def record(self) -> StudyRecord:
        """What the study has stored."""
        return StudyRecord(self.study)

    @property
    def several(self) -> bool:
        """Whether the study has several objectives."""
        return len(self.study.directions) > 1

    @cached_property
    def metrics(self) -> list[str]:
        """The name of each objective."""
        return attributes.metrics_of(self.study) if self.several else [attributes.metric_of(self.study)]

    @property
    def metric(self) -> str:
        """The name of the first objective, by which the trials are ranked if it is the only one."""
        return self.metrics[0]

    @property
    def by_accuracy(self) -> bool:
        """Whether one objective ranks the trials, and it is the share of the validation images named right."""
        return not self.several and is_validation_accuracy(self.metric)

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is; of several objectives that of the first."""
        return 1 if self.study.directions[0] == StudyDirection.MAXIMIZE else -1

    @cached_property
    def trials(self) -> list[FrozenTrial]:
        """All trials, by number."""
        return self.study.get_trials(deepcopy=False)

    @cached_property
    def ranked(self) -> list[FrozenTrial]:
        """The COMPLETE trials, the best first; of several objectives the trials that no other beats in all."""
        return attributes.ranked(self.study)

    @cached_property
    def done(self) -> list[FrozenTrial]:
        """The ranked trials with a finite value that are feasible, the best first; of several objectives none."""
        return [trial for trial in self.ranked if attributes.value_of(trial) is not None and attributes.feasible(trial)]

    @property
    def best(self) -> FrozenTrial | None:
        return self.done[0] if self.done else None

    @property
    def no_best(self) -> str:
        """Why no trial is the best, or on the front: a sentence."""
        said = attributes.no_best(self.study)
        return f"{said[:1].upper()}{said[1:]}."

    @cached_property
    def pruned(self) -> list[FrozenTrial]:
        return [trial for trial in self.trials if trial.state == TrialState.PRUNED]

    @cached_property
    def completed(self) -> list[FrozenTrial]:
        """The completed trials that are feasible, the best first; of several objectives by number."""
        if not self.several:
            return self.done
        states = (trial for trial in self.trials if trial.state == TrialState.COMPLETE)
        return [trial for trial in states if attributes.feasible(trial)]

    @cached_property
    def baselines(self) -> list[Baseline]:
        """The hand-tuned rows."""
        return self.record.baselines or []

    @cached_property
    def best_baseline(self) -> Baseline | None:
        """The hand-tuned row of the highest validation accuracy."""
        return max(self.baselines, key=lambda row: row.val_acc, default=None)

    @cached_property
    def varied(self) -> list[str]:
        """The settings that the completed trials were searched in, or that differ between the options of a search."""
        configs = [attributes.config_of(trial) for trial in self.ranked]
        each = zip(self.ranked, configs, strict=True)
        return sorted(set[str]().union(*(varying(trial.params, config, configs[0]) for trial, config in each)))

    @cached_property
    def cost(self) -> Cost:
        return cost(self.trials)

    @cached_property
    def ties(self) -> Ties:
        """Each trial against the first; no tests unless the ranking is by a measure of the images' answers."""
        if self.by_accuracy:
            return ties.find(self.name, self.done)
        return Ties() if self.several else ties.resampled(self.name, self.done, self.metric)

    @cached_property
    def intervals(self) -> dict[int, tuple[float, float]]:
        """The 95% interval of each of the best trials, by number, where the images are drawn again for it."""
        if self.several or self.metric not in MEASURES:
            return {}
        found = ties.answers_of(self.name, self.done[: ties.MOST], self.metric)
        return {number: interval(MEASURES[self.metric].measure, answers) for number, answers in found.items()}

    @cached_property
    def effects(self) -> dict[str, Effect]:
        """What each setting does to the metric, pruned trials counted by their curves; empty with few trials."""
        return importance.effects(self.study, self.done, self.pruned)

    @cached_property
    def together(self) -> list[Together]:
        """The pairs of settings that act together; empty with few trials, and of several objectives."""
        return [] if self.several else together(self.study, self.done, self.pruned)

    @cached_property
    def best_predictions(self) -> Predictions | None:
        """What the best trial predicts for the validation images, if that is in the run folder."""
        return ties.predictions_of(self.name, self.best) if self.best else None

    @property
    def confirms(self) -> str | None:
        """The name of the study that this one confirms."""
        return confirmation.confirms(self.study)

    @cached_property
    def original(self) -> StudyView | None:
        """The study that this one confirms, if it is still there."""
        study = confirmation.sibling(self.study, self.confirms) if self.confirms is not None else None
        return StudyView(study) if study is not None else None

    @cached_property
    def confirming(self) -> StudyView | None:
        """The study that confirms this one, if there is one."""
        study = confirmation.of(self.study)
        return StudyView(study) if study is not None else None

    @property
    def confirmed(self) -> list[confirmation.Row]:
        """What new seeds gave, in the order of the ranking: of this study, or of the one that it confirms."""
        return [row for row in self._seeds if row.put_back is None]

    @property
    def ablated(self) -> list[confirmation.Row]:
        """What new seeds gave with one setting of the best trial put back to a hand-tuned row's."""
        return [row for row in self._seeds if row.put_back is not None]

    @cached_property
    def _seeds(self) -> list[confirmation.Row]:
        if self.confirms is not None:
            original = self.original
            return confirmation.rows(self.trials, *((original.trials, original.ranked) if original else (None,)))
        return confirmation.rows(self.confirming.trials, self.trials, self.ranked) if self.confirming else []

    @cached_property
    def tests(self) -> dict[int, dict[str, Any]]:
        """By trial number its `test_acc`, and of how many `images`, or the mean over how many `seeds` that is."""
        own = {int(number): test for number, test in test_split.of(self.study).items()}
        return own | {
            row.of: {"test_acc": mean(row.test), "seeds": len(row.test)}
            for row in (self.confirmed if self.confirms is None else [])
            if isinstance(row.of, int) and row.test
        }

    @cached_property
    def evaluations(self) -> int:
        """How often the study was evaluated on the test split: by `run` and `train`, and by each seed of `confirm`."""
        own = sum(map(test_split.count_of, test_split.of(self.study).values()))
        return own + sum(bool(TrialRecord(seed).test) for seed in (self.confirming.trials if self.confirming else ()))
