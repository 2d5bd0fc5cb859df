"""Studies that this user may read and not write to."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import psycopg
import pytest
from conftest import Cli
from optuna.trial import create_trial
from sqlalchemy import make_url

from search.errors import SearchError
from search.study.storage.open import connect, open_storage
from search.study.study import load_study

RANGES: dict[str, optuna.distributions.BaseDistribution] = {"x": optuna.distributions.FloatDistribution(0, 1)}


def fill(url: str) -> None:
    """A study with one trial."""
    study = optuna.create_study(storage=connect(url), study_name="a")
    study.add_trial(create_trial(value=1.0, params={"x": 0.5}, distributions=RANGES))


@contextmanager
def nobody(*files: Path) -> Iterator[None]:
    """As a user to whom the files, and the folder of each, are read-only."""
    places = {file.parent: 0o555 for file in files} | dict.fromkeys(files, 0o444)
    before = {place: place.stat().st_mode for place in places}
    for place, mode in places.items():
        place.chmod(mode)
    root = os.geteuid() == 0
    try:
        if root:  # who may write to everything
            os.seteuid(65534)
        yield
    finally:
        if root:
            os.seteuid(0)
        for place, mode in before.items():
            place.chmod(mode)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder below folders that everybody may read."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("live", [True, False], ids=["while another writes", "at rest"])
def test_a_file_that_may_not_be_written_is_read(place: Path, live: bool) -> None:
    url = f"sqlite:///{place}/studies.db"
    fill(url)
    writer = load_study(url, "a") if live else None
    if not live:
        with sqlite3.connect(place / "studies.db") as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for left in ("-wal", "-shm"):
            (place / f"studies.db{left}").unlink(missing_ok=True)
    before = sorted(place.iterdir())
    with nobody(*before):
        assert [study.study_name for study in open_storage(url).get_all_studies()] == ["a"]
        study = load_study(url, "a")
        assert study.trials[0].value == 1.0
        with pytest.raises(optuna.exceptions.StorageInternalError):
            study.set_user_attr("a", 1)
        with pytest.raises(SearchError, match="no folder that can be written to"):
            connect(url)
    assert sorted(place.iterdir()) == before
    del writer


def test_a_role_that_may_only_select_gets_status_and_report(cli: Cli, database: str) -> None:
    fill(database)
    parsed = make_url(database)
    where: dict[str, Any] = {"host": parsed.host, "port": parsed.port, "dbname": parsed.database}
    login: dict[str, Any] = {"user": parsed.username, "password": parsed.password}
    with psycopg.connect(autocommit=True, **where, **login) as admin:
        admin.execute("DROP ROLE IF EXISTS reader")
        admin.execute("CREATE ROLE reader LOGIN PASSWORD 'r'")
        admin.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    url = parsed.set(username="reader", password="r").render_as_string(hide_password=False)
    status = cli("status", "--storage", url)
    assert (status.status, "| a " in status.out) == (0, True), status
    report = cli("report", "a", "--storage", url)
    assert report.status == 0, report
    assert "the report is not in optuna-dashboard: permission denied" in report.out
    assert Path("reports/a.md").is_file()
