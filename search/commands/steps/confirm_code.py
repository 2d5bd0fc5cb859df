"""Which code `search confirm` may run: what the user names, or what a run in this folder has used.

A storage is anybody's. Who writes to it could name a file of his own on this machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from optuna.study import Study

from search.errors import SearchError, option, visible
from search.space.file import SpaceFile, load_space
from search.study.attributes import StudyRecord
from search.study.known import files_in, files_of, known_to


def own_file(original: Study, given: Path | None) -> SpaceFile | None:
    """The space file whose train() trained the study, as it is now. None: the built-in training. Raises SearchError.

    Only one that the user names, or that a run in this folder has used: the storage is anybody's.
    """
    record = StudyRecord(original)
    if not record.own_train:
        return None
    name, path = f"the study {original.study_name!r}", given
    if path is None:
        said = visible(record.space_file or "a train()")
        path = Path(record.space_file or "")
        if path not in known_to(original.study_name):
            said = f"{name} was trained by {said}, as its storage says, which no run in this folder has used"
            raise SearchError(f"{said}: look at the file, and name it with {option('space')}")
        if not path.is_file():
            raise SearchError(f"{name} was trained by {said}, which is not here; {option('space')} names another")
    file = load_space(path)
    if file.train is None or record.space is None or not file.fits(record.space):
        raise SearchError(f"{name} has another space than {path} has now, or was run with {option('set')}")
    return file


def known_code(original: Study, configs: Sequence[Mapping[str, Any]], given: Path | None) -> frozenset[Path]:
    """The Python files that the built-in training may use for its models and data. Raises SearchError."""
    if StudyRecord(original).own_train:
        return frozenset()
    known = known_to(original.study_name)
    if given is not None:
        known |= files_in(given)
    check_code(original.study_name, configs, known)
    return frozenset(known)


def check_code(study: str, configs: Sequence[Mapping[str, Any]], known: Set[Path]) -> None:
    """Raise SearchError if a config would run a Python file that only the storage names."""
    for config in configs:
        for file in sorted(files_of(config) - known):
            said = f"the study {study!r} names code that no run in this folder has used, {visible(str(file))}"
            raise SearchError(f"{said}: look at it, and name the space file that uses it with {option('space')}")
