"""Which data a study's numbers are of: kept with it, and compared whenever it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.study import Study

from search.data.identity import Identity
from search.errors import SearchError, option
from search.study.attributes import StudyRecord, TrialRecord, config_of

Found = Mapping[str, Mapping[str, Any]]
"""Data set, as a config names it, to what `Identity.to_json` says of it."""


def check(study: Study, found: Found) -> None:
    """Raise SearchError if the study's trials were made with other data than `found`; names what differs."""
    for dataset, stored in StudyRecord(study).data.items():
        old, new = Identity.from_json(stored), Identity.from_json(found.get(dataset))
        if old is not None and new is not None and old.fingerprint != new.fingerprint:
            name = study.study_name
            raise SearchError(
                f"the study {name!r} was made with other data of the name {dataset}: {difference(old, new)}; "
                f"{option('name', 'new')} {option('source', name)} begins a new one with its best"
            )


def settle(study: Study, found: Found) -> list[str]:
    """Keep with the study what is not known of its data yet; returns lines for the user. Raises SearchError."""
    check(study, found)
    record, lines = StudyRecord(study), []
    known = record.data
    fresh = {dataset: dict(stored) for dataset, stored in found.items() if dataset not in known}
    for dataset in fresh:
        trials = study.get_trials(deepcopy=False)
        old = [trial for trial in trials if TrialRecord(trial).epoch and TrialRecord(trial).data is None]
        count = sum(config_of(trial).get("dataset") == dataset for trial in old)
        if count:
            lines.append(
                f"of {count} earlier trials it is not known which data of the name {dataset} they saw, for an older "
                "version ran them; from now on other data are refused"
            )
    if fresh:
        record.data = known | fresh
    return lines


def difference(old: Identity, new: Identity) -> str:
    """What differs between two data sets, there and here."""
    gone = [name for name in old.classes if name not in new.classes]
    more = [name for name in new.classes if name not in old.classes]
    parts = [f"the class{'es' if gone[1:] else ''} {_some(gone)} {'are' if gone[1:] else 'is'} gone"] * bool(gone)
    parts += [f"the class{'es' if more[1:] else ''} {_some(more)} {'are' if more[1:] else 'is'} new"] * bool(more)
    for split in ("train", "val", "test"):
        there, here = old.images.get(split, 0), new.images.get(split, 0)
        if there != here:
            parts.append(f"{split} had {there:,} images and has {here:,}")
    if parts:
        return ", ".join(parts)
    order = " in another order" if old.classes != new.classes else ""
    return f"the classes and their number are the same{order}, the pictures, their names or their classes are not"


def _some(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:3]))
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
