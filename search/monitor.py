"""What a run leaves in its folder: event files for TensorBoard, and what each trial called the validation images."""

from __future__ import annotations

import time
from pathlib import Path

from optuna.trial import TrialState
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from search import answers, correct
from search.engine.driver import Job


class TensorBoard:
    """Writes each epoch's numbers under `folder`/trial-<number>, as the trials run.

    With TensorBoard's own file writer: torch's SummaryWriter imports torch, which the driver may have no use for.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[int, EventFileWriter] = {}

    def on_epoch(self, job: Job) -> None:
        if job.number not in self._writers:
            self._writers[job.number] = EventFileWriter(str(self._folder / f"trial-{job.number:04d}"), flush_secs=5)
        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in job.epoch.items()
            if name != "epoch" and isinstance(value, (int, float))
        ]
        event = Event(wall_time=time.time(), step=job.step, summary=Summary(value=values))
        self._writers[job.number].add_event(event)

    def on_end(self, job: Job, state: TrialState, reason: str) -> None:
        if job.number in self._writers:
            self._writers.pop(job.number).close()


class Correctness:
    """Keeps in the run folder of `study` what each trial called the validation images after its last epoch."""

    def __init__(self, study: str) -> None:
        self._study = study

    def on_epoch(self, job: Job) -> None:
        if job.right is not None:  # before the trial is COMPLETE, so that no COMPLETE one is without
            correct.write(self._study, job.number, job.right)
        if job.answers is not None:
            answers.write(self._study, job.number, job.answers)

    def on_end(self, job: Job, state: TrialState, reason: str) -> None:
        """Nothing: the last epoch had it all."""
