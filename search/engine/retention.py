"""Who leads a study, and what of its trials stays on disk: the leader's weights, checkpoints of those in training."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.engine import kept
from search.engine.worker import SaveWeights
from search.files.locations import Where


class Keeping:
    """Follows the trials of a study, those of earlier runs included, and sweeps up behind them."""

    def __init__(self, study: Study, metric: str, trained: bool, weights: bool, run_dir: Where) -> None:
        """`trained`: by the built-in training, which writes checkpoints and, if asked for by `weights`, those.

        `run_dir`: the folder for them, or its URL.
        """
        self.weights = weights and trained
        self.run_dir = run_dir.absolute() if isinstance(run_dir, Path) else run_dir
        self._gone: set[int] = set()
        self._live: Collection[int] = ()
        self._behind = ThreadPoolExecutor(1, "sweeps up")  # it starts no thread before it has work
        self._sweeping: Future[None] | None = None
        self.leader: tuple[float, int] | None = None
        self._name, self._metric, self._trained = study.study_name, metric, trained
        self._maximize = study.direction == StudyDirection.MAXIMIZE

    def begin(self, done: Sequence[FrozenTrial], live: Collection[int]) -> None:
        """Take note of the trials that ended in earlier runs, and of where to look up which run."""
        self._live = live
        for trial in done:
            if trial.state == TrialState.COMPLETE and trial.value is not None:
                self.follow(trial.value, trial.number)
        self.sweep({trial.number for trial in done})

    def follow(self, value: float, number: int) -> None:
        """Take note of a completed trial, which may lead from now on; of equals the first leads, as in the table."""
        led = self.leader
        if led is None or self.better(value, led[0]) or (value == led[0] and number < led[1]):
            self.leader = value, number

    def sweep(self, ended: Collection[int]) -> None:
        """Delete what is no longer needed: the checkpoints of trials that `ended`, and weights.

        Of these only the leader's stay, and those of trials whose end is not told yet. Where that takes round trips to
        an object store, the driver does not wait for it.
        """
        self._gone |= set(ended)
        if isinstance(self.run_dir, Path):
            self._clear()
        elif self._trained:
            if self._sweeping is not None:
                self._sweeping.cancel()  # if it has yet to begin, the next does its work
            self._sweeping = self._behind.submit(self._clear)

    def _clear(self) -> None:
        kept.drop_checkpoints(self._name, self._gone, self.run_dir)
        if self.weights:
            kept.sweep(self._name, self._spared, self.run_dir)

    def _spared(self) -> set[int]:
        live = tuple(self._live)  # first: who ends then may lead by now
        return {*live, *([self.leader[1]] if self.leader else [])}

    def settle(self, seconds: float = 30.0) -> None:
        """Wait until what trials left is swept up, but no longer."""
        if self._sweeping is not None:
            wait([self._sweeping], seconds)

    def keep(self, number: int) -> SaveWeights | None:
        """When the weights of a trial are kept, and where; None: never."""
        if not self.weights:
            return None
        path = kept.place(self._name, number, self.run_dir)
        return SaveWeights(path, self._metric, self._maximize, self.leader[0] if self.leader else None)

    def checkpoints(self, number: int) -> Where | None:
        """The folder that the training of a trial may go on from; of a train() of the user's own, None."""
        return kept.checkpoints(self._name, number, self.run_dir) if self._trained else None

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is a better value than `b`."""
        return a > b if self._maximize else a < b
