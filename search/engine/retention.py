"""Who leads a study, and what of its trials stays on disk: the leader's weights, checkpoints of those in training.

They lie in <run dir>/<study>/weights/<trial>.safetensors and <run dir>/<study>/checkpoints/<trial>/. Machines that
share a run dir (`--run-dir`) can each go on with a trial that another left.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.engine.messages import SaveWeights
from search.files import locations
from search.files.atomic import file_name
from search.files.locations import Where
from search.study.attributes import feasible, loss_signs, value_of

RUNS = Path("runs")
"""The default run dir."""


class Retention:
    """Follows the trials of a study, those of earlier runs included, and sweeps up behind them."""

    def __init__(self, study: Study, metric: str, trained: bool, weights: bool, run_dir: Where) -> None:
        """`trained`: by the built-in training, which writes checkpoints and, if `weights`, the leader's weights.

        `run_dir`: the folder for them, or its URL.
        """
        self.weights = weights and trained
        self.run_dir = run_dir.absolute() if isinstance(run_dir, Path) else run_dir
        self._gone: set[int] = set()
        self._live: Collection[int] = ()
        self._behind = ThreadPoolExecutor(1, "sweeps up")  # it starts no thread before it has work
        self._sweeping: Future[None] | None = None
        self.leader: tuple[float, int] | None = None
        self._front: dict[int, list[float]] = {}
        """Of several objectives: the trials that no other beats in all, each by its values, the lower the better."""
        self._name, self._metric, self._trained = study.study_name, metric, trained
        self._signs = loss_signs(study)
        self._maximize = self._signs[0] < 0

    def begin(self, done: Sequence[FrozenTrial], live: Collection[int]) -> None:
        """Take note of the trials that ended in earlier runs, and of the mapping that holds those that run."""
        self._live = live
        for trial in done:
            if trial.state == TrialState.COMPLETE and feasible(trial):
                self.follow(trial)
        self.sweep({trial.number for trial in done})

    def follow(self, trial: FrozenTrial) -> None:
        """Take note of a completed trial, which may lead from now on; of equals the first leads, as in the table."""
        value, number, led = value_of(trial), trial.number, self.leader
        if len(self._signs) > 1:
            self._join(number, [sign * found for sign, found in zip(self._signs, trial.values, strict=True)])
        if value is None:
            return
        if led is None or self.better(value, led[0]) or (value == led[0] and number < led[1]):
            self.leader = value, number

    def _join(self, number: int, values: list[float]) -> None:
        """Put the trial on the front unless another beats it, and take off what it beats."""
        if not all(map(math.isfinite, values)) or any(_beats(known, values) for known in self._front.values()):
            return
        self._front = {other: known for other, known in self._front.items() if not _beats(values, known)}
        self._front[number] = values

    def sweep(self, ended: Collection[int]) -> None:
        """Delete what is no longer needed: the checkpoints of trials that `ended`, and weights.

        The leader's weights stay, of several objectives those of the whole front, and those of trials that run. The
        driver does not wait for an object store.
        """
        self._gone |= set(ended)
        if isinstance(self.run_dir, Path):
            self._clear()
        elif self._trained:
            if self._sweeping is not None:
                self._sweeping.cancel()  # if it has yet to begin, the next does its work
            self._sweeping = self._behind.submit(self._clear)

    def _clear(self) -> None:
        drop_checkpoints(self._name, self._gone, self.run_dir)
        if self.weights:
            drop_weights(self._name, self._spared, self.run_dir)

    def _spared(self) -> set[int]:
        live = tuple(self._live)  # first: who ends then may lead by now
        return {*live, *self._front, *([self.leader[1]] if self.leader else [])}

    def wait_for_sweep(self, seconds: float = 30.0) -> None:
        """Wait until the last sweep is done, at most so many seconds."""
        if self._sweeping is not None:
            wait([self._sweeping], seconds)

    def keep(self, number: int) -> SaveWeights | None:
        """When the weights of a trial are kept, and where; None: never."""
        if not self.weights:
            return None
        path = weights_of(self._name, number, self.run_dir)
        return SaveWeights(path, self._metric, self._maximize, self.leader[0] if self.leader else None)

    def checkpoints(self, number: int) -> Where | None:
        """The folder that the training of a trial may go on from. None: a train() of the space file."""
        return checkpoints_of(self._name, number, self.run_dir) if self._trained else None

    def output(self, number: int) -> Path | None:
        """The file for what a train() of the space file prints. None: the built-in training."""
        return None if self._trained else output_of(self._name).absolute() / f"trial-{number:04d}.txt"

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is a better value than `b`."""
        return a > b if self._maximize else a < b


def _beats(values: list[float], others: list[float]) -> bool:
    """Whether the first is nowhere worse and somewhere better; the lower the better."""
    return values != others and all(one <= other for one, other in zip(values, others, strict=True))


def weights_of(study: str, trial: int, run_dir: Where = RUNS) -> Where:
    """The file of a trial's weights, if they are kept."""
    return locations.under(run_dir, file_name(study), "weights", f"{trial}.safetensors")


def checkpoints_of(study: str, trial: int, run_dir: Where = RUNS) -> Where:
    """The folder of a trial's checkpoints."""
    return locations.under(run_dir, file_name(study), "checkpoints", str(trial))


def output_of(study: str) -> Path:
    """The folder for what the trials of a train() of the space file print."""
    return RUNS / file_name(study) / "output"


def drop_weights(study: str, spared: Callable[[], Collection[int]], run_dir: Where = RUNS) -> None:
    """Delete the weights of all trials but the `spared`, and what a killed process left of them half written.

    `spared` is asked once it is known what is there.
    """
    with suppress(OSError):  # a folder that is not ours to write to, or a network that is away
        weights = locations.place(locations.under(run_dir, file_name(study), "weights"))
        found = [(name, re.match(r"\.?(\d+)\.safetensors", name)) for name in weights.names()]
        left = set(spared())
        weights.delete(*(name for name, number in found if number and int(number[1]) not in left))


def drop_checkpoints(study: str, trials: Collection[int], run_dir: Where = RUNS) -> None:
    """Delete the checkpoints of trials that have ended."""
    with suppress(OSError):
        folders = locations.place(locations.under(run_dir, file_name(study), "checkpoints"))
        for name in folders.names():
            if name.isdigit() and int(name) in trials:
                folders.delete_folder(name)
