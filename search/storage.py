"""The storage: its URL checked, opened for one process or many, its errors in one line, large studies read fast."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Container, Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock
from optuna.distributions import json_to_distribution
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, create_engine, event, make_url, or_, select
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import InstrumentedAttribute, Session

from search.errors import SearchError, StorageFailed

STORAGE_ERRORS = (SQLAlchemyError, StorageInternalError)
"""What a storage raises when it gives up."""


def redact(url: str) -> str:
    """The storage's URL without its password, wherever in it that stands."""
    try:
        return make_url(url).set(query={}).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        scheme, separator, _ = url.partition("://")
        return f"{scheme}://..." if separator else "..." if "@" in url else url


def check_storage(url: str, must_exist: bool = False) -> None:
    """Raise SearchError if `url` is no storage or cannot be reached. Creates nothing."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            file = Path(parsed.database or "")
            if not parsed.database or parsed.database == ":memory:":
                raise SearchError(f"storage {redact(url)}: a study needs a file, such as sqlite:///studies.db")
            if must_exist and not file.is_file():
                raise SearchError(f"no storage {redact(url)}; --storage or SEARCH_STORAGE names another")
            if not file.parent.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
                raise SearchError(f"storage {redact(url)}: {file.parent} is no folder that can be written to")
            if file.is_dir():
                raise SearchError(f"storage {redact(url)}: {file} is a folder")
            if file.is_file() and not _is_sqlite(file):
                raise SearchError(f"storage {redact(url)}: {file} is no SQLite file")
            return
        engine = create_engine(parsed)
        with engine.connect():
            engine.dispose()
    except (SQLAlchemyError, ModuleNotFoundError, OSError, ValueError) as error:  # ValueError: the port is no number
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise SearchError(f"storage {redact(url)} cannot be reached: {reason}") from None


def _is_sqlite(file: Path) -> bool:
    """Whether SQLite takes the file; an empty one, too.

    Only SQLite may open it: to close a descriptor of one's own would drop the locks of this process's connections.
    """
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            connection.execute("PRAGMA schema_version")
        except sqlite3.DatabaseError as error:
            return "not a database" not in str(error)
    return True


def connect(url: str) -> RDBStorage:
    """Open the storage at `url`; its tables are created once, by one process at a time.

    SQLite is set to WAL with synchronous=NORMAL: a killed process loses nothing, and readers do not wait.
    """
    check_storage(url)
    sqlite = url.startswith("sqlite")
    place = str(Path(make_url(url).database or "").resolve()) if sqlite else url
    lock = f"search-{os.getuid()}-{hashlib.sha256(place.encode()).hexdigest()[:12]}.lock"
    try:
        with FileLock(Path(tempfile.gettempdir()) / lock):
            storage = Storage(url, engine_kwargs={"connect_args": {"timeout": 60}} if sqlite else None)
    except (SQLAlchemyError, RuntimeError, ImportError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise SearchError(f"storage {redact(url)} cannot be used: {reason}") from None
    if sqlite:

        @event.listens_for(storage.engine, "connect")
        def tune(connection: Any, _: Any) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")

        storage.engine.dispose()
    return storage


def warm_up() -> None:
    """Do what the first storage of a process takes half a second for: imports, mappings, statements."""
    RDBStorage("sqlite://")


@contextmanager
def storage_errors(url: str, hint: str = "") -> Iterator[None]:
    """Turn what a storage or a disk that gives up raises into StorageFailed, with `hint` at the end of its line."""
    try:
        yield
    except STORAGE_ERRORS as error:
        reason = str(getattr(error, "orig", None) or error.__cause__ or error).strip().splitlines()[0]
        raise StorageFailed(f"storage {redact(url)} failed: {reason}{hint}") from error
    except BrokenPipeError:  # of `search report STUDY | head`
        raise
    except OSError as error:
        raise StorageFailed(f"{error}{hint}") from error


def open_storage(url: str) -> RDBStorage:
    """An existing storage, to be read. Raises SearchError."""
    check_storage(url, must_exist=True)
    return connect(url)


_distribution = lru_cache(maxsize=1024)(json_to_distribution)
"""Ten thousand trials have the same few."""


class Storage(RDBStorage):
    """RDBStorage, except that it reads trials by taking their rows as they are.

    Optuna makes an object of each parameter, value and epoch first: of 10,000 trials a quarter of a million. Nothing
    else is changed, nor what is read. Optuna does not document what is overridden: keep a test.
    """

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        older = {trial for trial in included_trial_ids if trial <= trial_id_greater_than}
        if states is not None or len(older) > 1000:  # databases limit the values of one statement
            return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        trial = models.TrialModel
        wanted = [trial.study_id == study_id]
        if trial_id_greater_than >= 0:
            wanted.append(or_(trial.trial_id > trial_id_greater_than, trial.trial_id.in_(older)))
        with Session(self.engine) as session:
            models.StudyModel.find_or_raise_by_id(study_id, session)
            return _read(session, *wanted)


def _read(session: Session, *wanted: ColumnElement[bool]) -> list[FrozenTrial]:
    """The trials for which all of `wanted` is true, in the order of their ids."""
    found = select(models.TrialModel).where(*wanted).order_by(models.TrialModel.trial_id)
    trials: list[Any] = list(session.scalars(found))  # Optuna's objects, which know their time zone
    if not trials:
        return []
    of_wanted = select(models.TrialModel.trial_id).where(*wanted)

    def rows(*columns: InstrumentedAttribute[Any]) -> Any:
        """The columns of a table about trials, in the order in which they were written; the first is its key."""
        table = columns[0].class_
        return session.execute(select(*columns[1:]).where(table.trial_id.in_(of_wanted)).order_by(columns[0]))

    params: dict[int, dict[str, Any]] = defaultdict(dict)
    ranges: dict[int, dict[str, Any]] = defaultdict(dict)
    m = models.TrialParamModel
    for trial, name, value, kind in rows(m.param_id, m.trial_id, m.param_name, m.param_value, m.distribution_json):
        ranges[trial][name] = _distribution(kind)
        params[trial][name] = _distribution(kind).to_external_repr(value)
    values: dict[int, dict[int, float]] = defaultdict(dict)
    v = models.TrialValueModel
    for trial, objective, number, kind in rows(v.trial_value_id, v.trial_id, v.objective, v.value, v.value_type):
        values[trial][objective] = v.stored_repr_to_value(number, kind)
    curves: dict[int, dict[int, float]] = defaultdict(dict)
    i = models.TrialIntermediateValueModel
    epochs = (i.trial_intermediate_value_id, i.trial_id, i.step, i.intermediate_value, i.intermediate_value_type)
    for trial, step, number, kind in rows(*epochs):
        curves[trial][step] = i.stored_repr_to_intermediate_value(number, kind)
    attrs: dict[Any, dict[int, dict[str, Any]]] = {}
    for a, key in (
        (models.TrialUserAttributeModel, models.TrialUserAttributeModel.trial_user_attribute_id),
        (models.TrialSystemAttributeModel, models.TrialSystemAttributeModel.trial_system_attribute_id),
    ):
        attrs[a] = defaultdict(dict)
        for trial, name, text in rows(key, a.trial_id, a.key, a.value_json):
            attrs[a][trial][name] = json.loads(text)
    user, system = attrs.values()
    return [
        FrozenTrial(
            number=row.number,
            state=row.state,
            value=None,
            values=[values[row.trial_id][i] for i in sorted(values[row.trial_id])] if row.trial_id in values else None,
            datetime_start=row.datetime_start,
            datetime_complete=row.datetime_complete,
            params=params[row.trial_id],
            distributions=ranges[row.trial_id],
            user_attrs=user[row.trial_id],
            system_attrs=system[row.trial_id],
            intermediate_values=curves[row.trial_id],
            trial_id=row.trial_id,
        )
        for row in trials
    ]
