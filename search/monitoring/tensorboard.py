"""What a run leaves in its folder: event files for TensorBoard, and the predictions of each trial."""

from __future__ import annotations

import errno
import os
import re
import socket
import time
from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

from optuna.study import Study
from optuna.trial import TrialState
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.text.summary import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from search import predictions
from search.engine.trial import ActiveTrial
from search.errors import visible
from search.files.atomic import file_name
from search.monitoring import dashboard
from search.study import known
from search.study.storage.internals import study_id, trial_id


def run_of(study: str, number: int) -> str:
    """How TensorBoard names the run of a trial: its folder below the run folder of all studies."""
    return f"{file_name(study)}/tensorboard/trial-{number:04d}"


def to_board(study: str, number: int) -> str:
    """Markdown that leads from a trial in the dashboard to its curves, where both are served together."""
    run = quote(re.escape(run_of(study, number)))
    return f"[Its curves in TensorBoard](/tensorboard/?runFilter={run}#timeseries), where both are served together."


def to_dashboard(trial: ActiveTrial) -> str:
    """Markdown that leads from a trial's run in TensorBoard to the dashboard."""
    place = f"/dashboard/studies/{study_id(trial.trial.study)}/trials?numbers={trial.number}"
    return f"[Trial {trial.number} in the dashboard]({place}), where both are served together."


class TensorBoard:
    """Writes each epoch's numbers under `folder`/trial-<number>, as the trials run, and each trial as a row of HPARAMS.

    Not with torch's SummaryWriter, which imports torch: the driver may have no use for it. No
    experiment is declared for HPARAMS: of several studies in one folder TensorBoard would show the first one's only.
    """

    def __init__(self, folder: Path, metric: str) -> None:
        self._folder, self._metric = folder, metric
        self._writers: dict[int, _Events] = {}

    def on_epoch(self, trial: ActiveTrial) -> None:
        if trial.number not in self._writers:
            place = str(self._folder / f"trial-{trial.number:04d}")
            self._writers[trial.number] = _Events(Path(place))
            searched = trial.trial.params or trial.settings
            self._add(
                trial, hparams_pb({visible(name): _plain(value) for name, value in searched.items()}, trial_id=place)
            )
            self._add(trial, Summary(value=text_pb("dashboard", to_dashboard(trial)).value))
        measured = {name: value for name, value in trial.last.epoch.items() if name != "epoch"}
        self._add(trial, _scalars(measured | {f"lr/{layer}": rate for layer, rate in trial.last.rates.items()}))

    def on_end(self, trial: ActiveTrial, state: TrialState, reason: str) -> None:
        if trial.number not in self._writers:
            return
        if state == TrialState.COMPLETE:
            self._add(trial, _scalars({f"final/{self._metric}": trial.last.epoch[self._metric]}))
        status = STATUS_FAILURE if state == TrialState.FAIL else STATUS_SUCCESS
        data = HParamsPluginData(session_end_info=SessionEndInfo(status=status, end_time_secs=time.time()))
        end = Summary.Value(
            tag=metadata.SESSION_END_INFO_TAG,
            metadata=metadata.create_summary_metadata(data),
            tensor=metadata.NULL_TENSOR,
        )
        self._add(trial, Summary(value=[end]))
        del self._writers[trial.number]

    def _add(self, trial: ActiveTrial, summary: Summary) -> None:
        self._writers[trial.number].add(Event(wall_time=time.time(), step=trial.last.step, summary=summary))

    def show(self, pictures: Sequence[Path]) -> None:
        """Write PNG files as the images of the run `report`, in place of those of an earlier report."""
        place = self._folder / "report"
        for old in place.glob("events.*"):
            old.unlink()
        if not pictures:
            return
        writer = _Events(place)
        for file in pictures:
            with Image.open(file) as picture:
                width, height = picture.size
            image = Summary.Image(width=width, height=height, encoded_image_string=file.read_bytes())
            summary = Summary(value=[Summary.Value(tag=file.stem, image=image)])
            writer.add(Event(wall_time=time.time(), step=0, summary=summary))


class _Events:
    """A new event file in a folder. On a full disk an event is missing, and those after it can be read.

    TensorBoard's EventFileWriter writes in a thread of its own, which dies of a full disk with a traceback.
    """

    _made = count()

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():010.0f}.{socket.gethostname()}.{os.getpid()}.{next(self._made)}"
        self._path = folder / name
        self.add(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add(self, event: Event) -> None:
        """Write `event` whole or not at all. Raises OSError."""
        record = BytesIO()
        RecordWriter(record).write(event.SerializeToString())
        with self._path.open("ab", buffering=0) as file:
            end = file.tell()
            try:
                if file.write(record.getvalue()) < len(record.getvalue()):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            except OSError:
                file.truncate(end)
                if not end:
                    self._path.unlink()
                raise


def _scalars(values: Mapping[str, Any]) -> Summary:
    numbers = {visible(name): value for name, value in values.items() if isinstance(value, (int, float))}
    return Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in numbers.items()])


def _plain(value: Any) -> bool | float | str:
    return value if isinstance(value, (bool, int, float)) else visible(str(value))


class Notes:
    """Gives each trial its note in optuna-dashboard when it ends: its config, and the reason if it failed."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def on_epoch(self, trial: ActiveTrial) -> None:
        """Nothing: the note is written once."""

    def on_end(self, trial: ActiveTrial, state: TrialState, reason: str) -> None:
        link = to_board(self._study.study_name, trial.number) if trial.last.step else ""
        dashboard.note_trial(self._study, trial_id(trial.trial), state, trial.settings, reason, trial.last.step, link)


class KeepPredictions:
    """Keeps in the run folder of `study` what each trial predicted for the validation images after its last epoch."""

    def __init__(self, study: str) -> None:
        self._study = study

    def on_epoch(self, trial: ActiveTrial) -> None:
        if trial.last.predictions is not None:  # before the trial is COMPLETE, so that no COMPLETE one is without
            predictions.write(self._study, trial.number, trial.last.predictions)

    def on_end(self, trial: ActiveTrial, state: TrialState, reason: str) -> None:
        """Nothing: the last epoch had it all."""


class KeepCode:
    """Notes in the run folder of `study` which Python files its trials use, for `search confirm` to know them.

    `own`: the space file with a train() of its own. None: the built-in training.
    """

    def __init__(self, study: str, own: Path | None) -> None:
        self._study, self._own = study, own
        self._noted = set[Path]()

    def on_epoch(self, trial: ActiveTrial) -> None:
        files = {self._own} if self._own is not None else known.files_of(trial.settings)
        if files - self._noted:
            known.remember(self._study, files)
            self._noted |= files

    def on_end(self, trial: ActiveTrial, state: TrialState, reason: str) -> None:
        """Nothing: the first epoch had it all."""
