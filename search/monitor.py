"""What TensorBoard is fed: one folder of event files a trial."""

from __future__ import annotations

from pathlib import Path

from optuna.trial import TrialState
from torch.utils.tensorboard import SummaryWriter

from search.engine.driver import Job


class TensorBoard:
    """Writes each epoch's numbers under `folder`/trial-<number>, as the trials run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[int, SummaryWriter] = {}

    def on_epoch(self, job: Job) -> None:
        if job.number not in self._writers:
            folder = self._folder / f"trial-{job.number:04d}"
            self._writers[job.number] = SummaryWriter(str(folder), flush_secs=5)
        for name, value in job.epoch.items():
            if name != "epoch" and isinstance(value, (int, float)):
                self._writers[job.number].add_scalar(name, value, job.step)

    def on_end(self, job: Job, state: TrialState, reason: str) -> None:
        if job.number in self._writers:
            self._writers.pop(job.number).close()
