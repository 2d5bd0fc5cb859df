"""What optuna-dashboard shows beside its plots: a note on the study and on each trial, and pictures as artifacts.

The dashboard's own `save_note` reads all notes of a study to write one (SQLite on a busy machine: 4 ms for the first,
20 ms for the 500th), and takes two seconds to import; so its two keys a note are written here, in 2 ms for any.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.analysis.view import StudyView
from search.errors import visible
from search.study.storage import internals, rdb
from search.study.storage.internals import set_system_attr

if TYPE_CHECKING:
    from search.reporting.page import Report

ARTIFACTS = Path("runs/artifacts")
"""For all studies: the dashboard shows those of a storage, and is told one folder."""
ROWS = 20
"""Of a longer table the study's note has the first."""
_CHUNK = 2045
"""Characters of a note in one attribute, as the dashboard stores it; a note may have any number."""
_OURS = "search:note_ver"
_LEADER = "search:pictured"
"""The attribute that holds which trial has the pictures of the best."""
_OF_BEST = ("confusion.png", "mistakes.png")


def note_trial(
    study: Study,
    trial: int,
    state: TrialState,
    settings: Mapping[str, Any],
    reason: str = "",
    step: int = 0,
    link: str = "",
) -> None:
    """Write the note of the trial with the storage's id `trial`: its config, and why it failed or where it was pruned.

    `link`: Markdown that leads to its curves elsewhere. Where there is a note already, a person's or an earlier run's,
    it stays.
    """
    if rdb.system_attr(study, f"dashboard:{trial}:note_ver") is not None:
        return
    parts = [f"FAIL\n\n```\n{visible(reason)}\n```"] if state == TrialState.FAIL else []
    parts += [f"Pruned at epoch {step}."] if state == TrialState.PRUNED else []
    parts += [f"```\n{visible(reason)}\n```"] if state == TrialState.PRUNED and reason else []
    lines = [f"{name}: {json.dumps(value, default=repr, ensure_ascii=False)}" for name, value in settings.items()]
    parts += ["```yaml\n" + "\n".join(map(visible, lines)) + "\n```"] if lines else []
    parts += [link] if link else []
    if parts:
        _write(study, f"dashboard:{trial}:", "\n\n".join(parts), 1)


def publish(view: StudyView, report: Report) -> None:
    """Make the head of the report the study's note, and its pictures the study's artifacts.

    A note that a person has edited in the dashboard since stays as it is. Each picture is uploaded once, and again
    when it has changed. Those that show what the best trial confuses are artifacts of that trial, too, and no
    longer of the trial that was the first before.
    """
    study = view.study
    attributes = internals.system_attrs(study)
    version, text = attributes.get("dashboard:note_ver", 0), note(report)
    if version == attributes.get(_OURS, 0) and text != _read(attributes):
        _write(study, "dashboard:", text, version + 1)
        set_system_attr(study, _OURS, version + 1)
    _share(study, attributes, report.pictures, view.best)


def note(report: Report) -> str:
    """The report up to its first section with a title; of a long table the first ROWS rows."""
    kept = []
    for part in report.head:
        lines = part.split("\n")
        more = len(lines) - 2 - ROWS
        if part.startswith("|") and more > 0:
            kept.append("\n".join(lines[: 2 + ROWS]))
            kept.append(f"{more} more {'row is' if more == 1 else 'rows are'} in `{report.path}`.")
        elif part:
            kept.append(part)
    return "\n\n".join([*kept, f"From `{report.path}`."])


def _read(attributes: Mapping[str, Any]) -> str:
    chunks = {name: value for name, value in attributes.items() if name.startswith("dashboard:note_str:")}
    return "".join(chunks.get(f"dashboard:note_str:{i}", "") for i in range(len(chunks)))


def _write(study: Study, prefix: str, text: str, version: int) -> None:
    starts = range(0, len(text), _CHUNK)
    parts = {f"{prefix}note_str:{chunk}": text[start : start + _CHUNK] for chunk, start in enumerate(starts)}
    chunk = len(parts)
    while version > 1 and rdb.system_attr(study, f"{prefix}note_str:{chunk}"):  # of a longer note before
        parts[f"{prefix}note_str:{chunk}"] = ""
        chunk += 1
    rdb.set_system_attrs(study, parts | {f"{prefix}note_ver": version})


def _share(study: Study, attributes: Mapping[str, Any], files: Sequence[Path], best: FrozenTrial | None) -> None:
    whole = _Shelf(study, attributes, "artifacts:")
    for file in files:
        whole.put(file)
    before, now = attributes.get(_LEADER), internals.trial_id(best) if best else None
    if before is not None and before != now:
        old = _Shelf(study, attributes, f"dashboard:artifacts:{before}:")
        for name in _OF_BEST:
            old.drop(name)
    if now is not None:
        its = _Shelf(study, attributes, f"dashboard:artifacts:{now}:")
        for file in files:
            if file.name in _OF_BEST:
                its.put(file)
    if before != now:
        set_system_attr(study, _LEADER, now)


class _Shelf:
    """The artifacts of a study or of a trial: those whose attributes begin with `prefix`.

    Optuna's own upload_artifact writes to no trial that has ended; the dashboard, which does, writes as this does.
    """

    def __init__(self, study: Study, attributes: Mapping[str, Any], prefix: str) -> None:
        from optuna.artifacts import FileSystemArtifactStore

        known = [json.loads(value) for name, value in attributes.items() if name.startswith(prefix)]
        self._there = {about["filename"]: about["artifact_id"] for about in known if about}  # null: deleted
        self._study, self._prefix, self._store = study, prefix, FileSystemArtifactStore(ARTIFACTS)

    def put(self, file: Path) -> None:
        """Upload the picture, if it is not there as it is."""
        if self._content(file.name) == file.read_bytes():
            return
        self.drop(file.name)
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        made = str(uuid4())
        with file.open("rb") as content:
            self._store.write(made, content)
        self._note(made, {"artifact_id": made, "filename": file.name, "mimetype": "image/png", "encoding": None})

    def drop(self, name: str) -> None:
        """Delete the artifact of that name, if there is one."""
        from optuna.artifacts.exceptions import ArtifactNotFound

        artifact = self._there.pop(name, None)
        if artifact is not None:
            with suppress(ArtifactNotFound):  # somebody cleared the folder
                self._store.remove(artifact)
            self._note(artifact, None)

    def _content(self, name: str) -> bytes | None:
        from optuna.artifacts.exceptions import ArtifactNotFound

        if name not in self._there:
            return None
        try:
            with self._store.open_reader(self._there[name]) as content:
                return content.read()
        except ArtifactNotFound:
            return None

    def _note(self, artifact: str, about: object) -> None:
        set_system_attr(self._study, self._prefix + artifact, json.dumps(about))
