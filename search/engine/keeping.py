"""Who leads a study, and what of its trials stays on disk: the leader's weights, checkpoints of those in training."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search import kept
from search.engine.worker import Keep


class Keeping:
    """Follows the trials of a study, those of earlier runs included, and sweeps up behind them."""

    def __init__(self, study: Study, metric: str, trained: bool, weights: bool, run_dir: Path) -> None:
        """`trained`: by the built-in training, which writes checkpoints and, if asked for by `weights`, those.

        `run_dir`: the folder for them.
        """
        self.weights = weights and trained
        self.run_dir = run_dir
        self.leader: tuple[float, int] | None = None
        self._name, self._metric, self._trained = study.study_name, metric, trained
        self._maximize = study.direction == StudyDirection.MAXIMIZE

    def begin(self, done: Sequence[FrozenTrial]) -> None:
        """Take note of the trials that ended in earlier runs."""
        for trial in done:
            if trial.state == TrialState.COMPLETE and trial.value is not None:
                self._follow(trial.value, trial.number)
        self._sweep({trial.number for trial in done}, set())

    def ended(self, number: int, value: float | None, live: Collection[int]) -> None:
        """Trial `number` ended, with `value` if it is COMPLETE; the trials `live` run."""
        if value is not None:
            self._follow(value, number)
        self._sweep({number}, live)

    def _follow(self, value: float, number: int) -> None:
        """Take note of a completed trial, which may lead from now on; of equals the first leads, as in the table."""
        led = self.leader
        if led is None or self.better(value, led[0]) or (value == led[0] and number < led[1]):
            self.leader = value, number

    def _sweep(self, ended: Collection[int], live: Collection[int]) -> None:
        """Of all weights only the leader's stay, and those of trials whose end is not told yet."""
        kept.drop_checkpoints(self._name, ended, self.run_dir)
        if self.weights:
            kept.sweep(self._name, {*live, *([self.leader[1]] if self.leader else [])}, self.run_dir)

    def keep(self, number: int) -> Keep | None:
        """When the weights of a trial are kept, and where; None: never."""
        if not self.weights:
            return None
        path = kept.place(self._name, number, self.run_dir).absolute()
        return Keep(str(path), self._metric, self._maximize, self.leader[0] if self.leader else None)

    def checkpoints(self, number: int) -> str | None:
        """The folder that the training of a trial may go on from; of a train() of the user's own, None."""
        return str(kept.checkpoints(self._name, number, self.run_dir).absolute()) if self._trained else None

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is a better value than `b`."""
        return a > b if self._maximize else a < b
