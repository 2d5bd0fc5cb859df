"""The storage: what it refuses, keeps and survives."""

from __future__ import annotations

import pickle
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from postgres import Postgres

from search.errors import SearchError
from search.files import mounts
from search.study.storage.open import check_storage, connect, open_storage
from search.study.study import load_study

URL = "sqlite:///studies.db"


def test_sqlite_keeps_a_write_ahead_log() -> None:
    storage = connect(URL)
    elsewhere = pickle.loads(pickle.dumps(storage))  # noqa: S301 - our own
    for engine in (storage.engine, elsewhere.engine):
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1  # NORMAL
        engine.dispose()
    with sqlite3.connect("studies.db") as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


EIGHT = """
import os, sys, tempfile
from pathlib import Path
from search import Float, SearchSpace
from search.space.file import SpaceFile
from search.study.storage.open import connect
from search.study.study import open_study
connect("sqlite:///warm.db").engine.dispose()  # imports what creating tables needs, so that the eight collide
space = SpaceFile(Path("space.py"), "space", SearchSpace(x=Float(0, 1)), lambda config: iter(()))
for machines, url in zip(sys.argv[1::2], sys.argv[2::2]):
    gate, opener = os.pipe()
    children = []
    for _ in range(8):
        if not (child := os.fork()):
            if machines == "eight":
                tempfile.tempdir = tempfile.mkdtemp(dir=".")  # as on another machine: no lock between them
            os.close(opener)
            os.read(gate, 1)  # all wait here, and go at once
            try:
                open_study(url, "s", space)
            except BaseException as error:
                print(machines, repr(error), flush=True)
                os._exit(1)
            os._exit(0)
        children.append(child)
    os.close(opener)
    print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children], flush=True)
    os.close(gate)
"""


@pytest.mark.whole
def test_eight_processes_start_on_an_empty_storage_at_once(postgres: Postgres) -> None:
    """Of one machine, and of eight, which share no file."""
    two = [postgres.database("one_machine"), postgres.database("eight_machines")]
    words = ["one", URL, "one", two[0], "eight", two[1]]
    done = subprocess.run(
        [sys.executable, "-c", EIGHT, *words], capture_output=True, text=True, timeout=480, check=False
    )
    assert done.stdout.splitlines() == [str([0] * 8)] * 3, done.stderr
    for url in (URL, *two):
        storage = connect(url)
        assert [study.study_name for study in storage.get_all_studies()] == ["s"]
        storage.engine.dispose()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://user:sesame@127.0.0.1:1/studies", "cannot be reached"),
        ("postgresql://user:sesame@127.0.0.1:port/studies", "cannot be reached"),
        ("postgresql://127.0.0.1:1/studies?user=user&password=sesame", "cannot be reached"),
        ("sqlite:///missing/studies.db", "missing is no folder"),
        ("sqlite:///space.py", "no SQLite file"),
        ("sqlite:///folder", "is a folder"),
        ("sqlite://", "a study needs a file"),
        ("nonsense", "cannot be reached"),
        ("user:sesame@host", "cannot be reached"),
        ("nosuchbase://user:sesame@host/studies", "cannot be reached"),
    ],
)
def test_an_unreachable_storage_is_one_line(cli: Any, write: Any, sys_path: None, url: str, words: str) -> None:
    write(
        "space.py",
        "from search import Float, SearchSpace\nspace = SearchSpace(x=Float(0, 1))\ndef train(c): yield {}\n",
    )
    Path("folder").mkdir()
    for verb in (["run", "space.py"], ["report", "s"], ["export", "s"]):
        status, out, err = cli(*verb, "--storage", url)
        assert status == 2
        assert (out, err.count("\n")) == ("", 1)
        assert "sesame" not in err
        assert err.startswith("search: ")
        if verb[0] == "run":
            assert words in err
    assert sorted(path.name for path in Path().iterdir()) == ["folder", "space.py"]


@pytest.mark.parametrize(
    "url", ["journal.log", "file://journal.log", "journal+file:///tmp/journal.log", "sqlite:///journal.log"]
)
def test_optunas_journal_file_is_refused_with_the_reason(cli: Any, url: str) -> None:
    backend = JournalFileBackend("journal.log")
    optuna.create_study(storage=JournalStorage(backend))
    before = Path("journal.log").read_bytes()
    status, out, err = cli("status", "--storage", url)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "Optuna's journal file, which one half-written line breaks for good, is not taken" in err
    assert Path("journal.log").read_bytes() == before
    assert {path.name for path in Path().iterdir()} <= {"journal.log", "journal.log.lock"}


def test_a_storage_that_is_an_object_is_refused() -> None:
    wrong: Any = JournalStorage(JournalFileBackend("journal.log"))
    with pytest.raises(SearchError, match="storage JournalStorage: name its URL"):
        check_storage(wrong)


@pytest.mark.parametrize("url", ["sqlite:///{}/studies.db", "sqlite:///file:{}/studies.db?uri=true"])
def test_sqlite_on_a_network_mount_is_refused(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share = tmp_path / "share"
    share.mkdir()
    table = tmp_path / "mounts"
    table.write_text(f"/dev/sda1 / ext4 rw 0 0\nnas:/all {share} nfs4 rw 0 0\n")
    monkeypatch.setattr(mounts, "_MOUNTS", table)
    check_storage(URL)
    (tmp_path / "link").symlink_to(share)
    for place in (share, tmp_path / "link"):
        with pytest.raises(SearchError, match=r"network file system \(nfs4\).*PostgreSQL"):
            check_storage(url.format(place))
    assert list(share.iterdir()) == []


@pytest.mark.parametrize("short", ["postgres", "postgresql"])
def test_postgresql_without_a_driver_in_its_url(database: str, short: str) -> None:
    url = database.replace("postgresql+psycopg", short)
    storage = connect(url)
    optuna.create_study(storage=storage, study_name="s")
    storage.engine.dispose()
    assert [study.study_name for study in open_storage(database).get_all_studies()] == ["s"]


def test_a_database_of_bytes(postgres: Postgres) -> None:
    """Where the server has no locale, initdb makes databases without an encoding, and psycopg hands out bytes."""
    url = postgres.database("bytes", "template0", "SQL_ASCII")
    check_storage(url)
    storage = connect(url)
    optuna.create_study(storage=storage, study_name="größer")
    storage.engine.dispose()
    assert [study.study_name for study in open_storage(url).get_all_studies()] == ["größer"]


def test_a_password_with_braces_is_no_template(postgres: Postgres, database: str) -> None:
    """Optuna fills in templates in URLs."""
    with pytest.raises(SearchError, match=r"password authentication failed") as caught:
        check_storage(database.replace("sesame", "{sesame}"))
    assert "sesame" not in str(caught.value)
    postgres.add_user("o{pe}n", "{0}")
    storage = connect(f"postgresql+psycopg://o{{pe}}n:{{0}}@127.0.0.1:{postgres.port}/studies")
    assert optuna.create_study(storage=storage, study_name="s").study_name == "s"


@pytest.mark.parametrize("verb", [["status"], ["report", "s"], ["export", "s", "--format", "dict"]])
def test_a_file_may_hold_the_url(cli: Any, url: str, verb: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    storage = connect(url)
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    storage.engine.dispose()
    Path("secret").write_text(f"{url}\n")
    monkeypatch.setenv("SEARCH_STORAGE", "sqlite:///other.db")  # which the file goes before
    status, out, err = cli(*verb, "--storage-file", "secret")
    assert (status, err) == (0, "")
    assert "sesame" not in out
    gone = cli(*verb, "--storage-file", "secret", "--storage", url)
    assert gone == (2, "", "search: --storage and --storage-file: say one of them\n")


@pytest.mark.parametrize(("text", "words"), [(None, "No such file"), ("", "one storage URL"), ("a b", "one storage")])
def test_a_file_without_a_url_is_refused(cli: Any, text: str | None, words: str) -> None:
    if text is not None:
        Path("secret").write_text(text)
    status, out, err = cli("status", "--storage-file", "secret")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("search: --storage-file secret: ")
    assert words in err


ELSEWHERE = """
import sqlite3
other = sqlite3.connect("studies.db")
with other:
    other.execute("INSERT INTO studies (study_name) VALUES ('other')")
other.close()
"""


def test_a_look_at_the_file_does_not_give_up_its_locks() -> None:
    """POSIX drops all of a process's locks on a file when one of its descriptors is closed; SQLite alone may open it.

    Without them another process that ends takes the log of changes away under this one, and the file breaks.
    """
    study = optuna.create_study(storage=connect(URL), study_name="s")
    check_storage(URL)
    subprocess.run([sys.executable, "-c", ELSEWHERE], check=True)
    assert Path("studies.db-wal").exists()
    study.set_user_attr("still", "here")
    with sqlite3.connect("studies.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert load_study(URL, "s").user_attrs["still"] == "here"
