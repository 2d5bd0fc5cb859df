"""The rows of the bench: what both sides do, how often, and what is compared."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from benchmarks import image_files, processes, products, sampled, sides
from benchmarks.plan import Plan, Row

TRAIN_IMAGES, BATCH = 2892, 256
"""Of Caltech-101's training split, and of its validation split, too; of a batch where no other size is said."""
PAUSE = 0.2
"""Seconds of an epoch where only what lies between the trials is measured."""


def per_epoch(measured: dict[str, float]) -> float:
    """Seconds of a whole epoch of the peer's, from a part of its training and of its validation batches."""
    return measured["train_seconds"] / measured["train_fraction"] + measured["val_seconds"] / measured["val_fraction"]


def _fastest(seconds: Mapping[int, float]) -> str:
    """What the peer takes by the number of its loader workers."""
    each = ", ".join(f"{workers}: {taken:.1f} s" for workers, taken in seconds.items())
    return f"by loader workers {each}; the fastest counts"


def _median(values: Sequence[float]) -> float | None:
    """The median; None of nothing, where the peer was not run."""
    return statistics.median(values) if values else None


@dataclass
class Bench:
    """Both sides on one machine. What several rows need is measured once and kept."""

    plan: Plan
    data_root: Path
    images: Path
    lanes: int
    gpu: bool = False
    log: Callable[[str], None] = print
    said: list[str] = field(default_factory=list)

    def _peer(self, batches: int | None, *words: object) -> dict[str, float]:
        return sides.peer_epoch(self.images, batches, self.plan.warm, *map(str, words))

    def _ours(self, space: Path, *words: object) -> sides.Run:
        return sides.ours(space, self.data_root, *map(str, words))

    @property
    def _alone(self) -> tuple[object, ...]:
        """The words that give one trial all cores; on a GPU it has them anyway."""
        return () if self.gpu else ("--cpus-per-trial", self.lanes)

    @cached_property
    def _by_loaders(self) -> dict[int, float]:
        """Seconds of the peer's classifier-only epoch by the number of its loader workers."""
        return {
            workers: per_epoch(self._peer(self.plan.most, "--frozen", "features", "--loader-workers", workers))
            for workers in self.plan.loaders
        }

    @cached_property
    def loaders(self) -> int:
        """The number of loader workers with which that epoch is the fastest."""
        return min(self._by_loaders, key=self._by_loaders.__getitem__)

    def _epochs_alone(self) -> list[float]:
        """Seconds of our epochs of the same, all cores for one trial, but for the first, which may fill caches."""
        words = ("--trials", 1, "--epochs", self.plan.epochs, "--sealed", *self._alone)
        return [epoch.seconds for epoch in self._ours(sides.SPACES / "alexnet_classifier.py", *words).epochs[1:]]

    def epoch(self) -> Row:
        own = self._epochs_alone()
        theirs = self._by_loaders  # between two of ours
        for _ in range(self.plan.repeats - 1):
            own += self._epochs_alone()
        part = f"from {self.plan.most} batches of each" if self.plan.most else "whole"
        note = f"peer: {part}; {_fastest(theirs)}; ours: median of {len(own)} in {self.plan.repeats} runs"
        if not self.gpu:
            note += f", of which the matrix products alone take {products.epoch(TRAIN_IMAGES, BATCH):.2f} s"
        return Row(
            "epoch (train + validation) of AlexNet on Caltech-101, only the classifier trained",
            min(theirs.values()), statistics.median(own), times=25, note=note,
        )  # fmt: skip

    @cached_property
    def _peers_trials(self) -> sides.Run:
        """The peer's trials side by side under Tune, as a study begins: of one epoch, or of a few of its batches."""
        words = ("--frozen", "features", "--loader-workers", self.loaders, "--trials", self.lanes, "--epochs", 1)
        part = ("--batches", self.plan.most) if self.plan.most else ()
        return sides.peer(self.images, *map(str, (*words, *part)))

    @cached_property
    def side_by_side(self) -> float:
        """Seconds of each of these epochs, had it been whole."""
        part = min(self.plan.most * BATCH / TRAIN_IMAGES, 1) if self.plan.most else 1
        return statistics.median(epoch.seconds for epoch in self._peers_trials.epochs) / part

    @cached_property
    def costs(self) -> tuple[dict[str, list[float]], dict[str, float]]:
        """Seconds that a trial of one epoch takes beside its epoch, which sleeps; by side, the peer's once.

        And the CPU seconds of our processes from the first result to the last, by trial.
        """
        sides_run = ("new", "reused", "ours") if self.plan.peer_of_values else ("ours",)
        found: dict[str, list[float]] = {name: [] for name in sides_run}
        used: dict[str, float] = {}
        noop = sides.SPACES / "noop.py"
        for repeat in range(self.plan.repeats):
            for name in found:
                if name != "ours" and repeat:  # the bar is a value of ours
                    continue
                trials = self.plan.new_actor_trials if name == "new" else self.plan.noop_trials
                reuse = ["--reuse-actors"] if name == "reused" else []
                if name == "ours":
                    with processes.watched() as seen:
                        run = self._ours(noop, "--trials", trials, "--epochs", 1, "--set", f"pause={PAUSE}")
                    first, last = (seen.by(run.began + at) for at in (run.to_first_result, run.to_last_result))
                    each = {part: (seconds - first.get(part, 0.0)) / trials for part, seconds in last.items()}
                    used = dict(sorted(each.items(), key=lambda item: -item[1]))
                else:
                    words = ["--noop", "--pause", str(PAUSE), "--epochs", "1", "--trials", str(trials), *reuse]
                    run = sides.peer(self.images, *words)
                found[name].append(run.cost(self.lanes))
        return found, used

    def trial_cost(self) -> Row:
        costs, used = self.costs
        medians = {name: statistics.median(times) * 1000 for name, times in costs.items()}
        parts = ", ".join(f"{part} {seconds * 1000:.0f}" for part, seconds in used.items() if seconds > 5e-4)
        note = (
            f"trials of one epoch that sleeps {PAUSE:g} s, {self.lanes} side by side; CPU milliseconds a trial: {parts}"
        )
        if "new" in medians:
            note += f"; peer: once, its actors reused; Tune's default of a new actor a trial: {medians['new']:.0f} ms"
        what = "cost of a trial beside its training"
        return Row(what, medians.get("reused"), medians["ours"], "ms", at_most=50, note=note)

    @cached_property
    def starts(self) -> tuple[list[float], list[float], dict[str, float]]:
        """Seconds from the command to the first training step: the peer's, once, and ours; caches are warm.

        And the CPU seconds of our processes by then.
        """
        space = sides.SPACES / "alexnet_classifier.py"
        theirs, own, used = list[float](), list[float](), dict[str, float]()
        small = ("--trials", self.lanes, "--epochs", 1)
        for _ in range(self.plan.repeats):
            with processes.watched() as seen:
                run = self._ours(space, *small, "--sealed")
            own.append(run.to_first_step)
            used = seen.by(run.began + run.to_first_step)
        if self.plan.peer_of_values:  # the bar is a value of ours
            theirs.append(self._peers_trials.to_first_step)
        return theirs, own, used

    def start(self) -> Row:
        theirs, own, used = self.starts
        cores = len(os.sched_getaffinity(0))
        parts = ", ".join(f"{part} {seconds:.1f}" for part, seconds in used.items())
        note = "peer: once; " * bool(theirs)
        note += f"ours: {sum(used.values()):.1f} CPU seconds by then on {cores} cores: {parts}"
        what = "`search run` to the first training step, caches warm"
        return Row(what, _median(theirs), statistics.median(own), at_most=5, note=note)

    def noop_study(self) -> Row:
        trials, theirs, own = self.plan.noop_trials, [], []
        for repeat in range(self.plan.repeats):
            own.append(self._ours(sides.SPACES / "noop.py", "--trials", trials).first_to_last)
            if not repeat and self.plan.peer_of_values:
                words = ("--noop", "--reuse-actors", "--epochs", "10", "--trials", str(trials))
                theirs.append(sides.peer(self.images, *words).first_to_last)
        note = f"{trials} trials x 10 epochs, {self.lanes} workers" + "; peer: once, actors reused" * bool(theirs)
        return Row("no-op study, first result to last", _median(theirs), statistics.median(own), at_most=6, note=note)

    def finetuning(self, model: str = "alexnet") -> Row:
        """Images a second of full fine-tuning, without validation, with all cores."""
        theirs, own = [], []
        for _ in range(max(1, self.plan.repeats - 1)):
            own.append(image_files.ours_steps(self.data_root, model, self.plan.steps))
            epoch = self._peer(self.plan.few, "--model", model, "--loader-workers", self.loaders)
            theirs.append(TRAIN_IMAGES * epoch["train_fraction"] / epoch["train_seconds"])
        part = f"{self.plan.few} batches" if self.plan.few else "an epoch"
        note = f"{model}; peer: fp32, {part} of {BATCH}; ours: {self.plan.steps} steps of the trainer, as large"
        return Row(
            "full fine-tuning, images/s", statistics.median(theirs), statistics.median(own), "images/s", times=2,
            note=note, higher_is_better=True,
        )  # fmt: skip

    def reading(self) -> Row:
        """Seconds to read an epoch's training images, in batches of 256, without a model."""
        theirs: dict[int, list[float]] = {workers: [] for workers in self.plan.readers}
        own: list[float] = []
        for _ in range(max(1, self.plan.repeats - 1)):
            own.append(image_files.ours_reading(self.data_root))
            for workers in theirs:
                theirs[workers].append(image_files.peer_reading(self.images, workers))
        medians = {workers: statistics.median(seconds) for workers, seconds in theirs.items()}
        note = f"peer: {_fastest(medians)}; ours: median of five"
        what = f"input of one epoch, {TRAIN_IMAGES:,} images of 256 px"
        return Row(what, min(medians.values()), statistics.median(own), times=4, note=note)

    def study(self) -> Row:
        """The AlexNet study: ours whole; the peer's from its parts, for the same trials and epochs."""
        words = ("--trials", str(self.plan.trials), "--epochs", str(self.plan.study_epochs))
        space = sides.SPACES / "alexnet_classifier.py"
        try:
            run, found = sampled.run(space, self.data_root, *words)
            seen = sampled.sentence(found)
        except sampled.NoSpy:
            run, seen = self._ours(space, *words), "workers not sampled, for py-spy is not here"
        theirs = self._extrapolated(run, self.side_by_side)
        note = f"{self._study_note(run, self.side_by_side)}; {seen}"
        return Row(
            f"study of {self.plan.trials} trials of that kind, start to report",
            theirs,
            run.seconds,
            times=25,
            note=note,
        )

    def head_studies(self) -> Iterable[Row]:
        """A first and later studies of heads on Lite0's frozen features, which the first computes."""
        space = sides.SPACES / "alexnet_classifier.py"
        body = ("--set", "model=efficientnet_lite0", "--set", "weights=DEFAULT", "--set", "batch_size=64")
        words = (*body, "--trials", self.plan.heads)
        frozen = "_conv_stem,_bn0,_blocks,_conv_head,_bn1"
        how = ("--frozen", frozen, "--batch-size", 64, "--loader-workers", self.loaders)
        epoch = self._peer(self.plan.few, "--model", "efficientnet_lite0", *how)
        one = per_epoch(epoch)
        with image_files.empty_cache(self.data_root):
            first = self._ours(space, *words)
            later = [self._ours(space, *words) for _ in range(max(1, self.plan.repeats - 1))]
        yield self._head_row("first", [first], one, 100)
        yield self._head_row("later", later, one, 1000)

    def _head_row(self, which: str, runs: Sequence[sides.Run], epoch: float, times: float) -> Row:
        # Two of the peer's trials share the cores, so that a lane's epoch takes `lanes` times as long.
        theirs = statistics.median(self._extrapolated(run, epoch * self.lanes) for run in runs)
        own = statistics.median(run.seconds for run in runs)
        what = f"head-only study on EfficientNet-Lite0, {len(runs[-1].trials)} trials, {which}"
        return Row(what, theirs, own, times=times, note=self._study_note(runs[-1], epoch * self.lanes))

    def _extrapolated(self, run: sides.Run, epoch: float) -> float:
        """What the peer takes for the trials and epochs of `run`, `epoch` being seconds of one in one of its lanes."""
        trials = len(run.trials) * statistics.median(self.costs[0]["reused"])
        return statistics.median(self.starts[0]) + (len(run.epochs) * epoch + trials) / self.lanes

    def _study_note(self, run: sides.Run, epoch: float) -> str:
        share = f"{run.working(self.lanes):.0%} of the workers' time in epochs"
        return (
            f"ours whole: {len(run.epochs)} epochs in {len(run.trials)} trials, {share}; peer: extrapolated to it from "
            f"its start, {epoch:.0f} s an epoch, {self.lanes} at a time, and its reused actors' cost of a trial"
        )
