"""Studies in a real SQLite file: opened, refused, and taken up again after a crash."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.pruners import NopPruner
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from search import ASHA, Float, SearchSpace
from search import study as studies
from search.errors import SearchError
from search.spacefile import SpaceFile

URL = "sqlite:///studies.db"
MAXIMIZE, MINIMIZE = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE


def space_file(**options: Any) -> SpaceFile:
    space = options.pop("space", SearchSpace(x=Float(0, 1), epochs=4))
    return SpaceFile(Path("space.py"), "space", space, options.pop("train", lambda config: iter(())), **options)


def test_an_interrupted_trial_goes_on_as_itself() -> None:
    """The watch on Optuna's undocumented change of state RUNNING -> WAITING, which `requeue` leans on."""
    study = studies.open_study(URL, "s", space_file())
    trial = study.ask()
    x = trial.suggest_float("x", 0, 1)
    trial.report(0.5, 1)
    trial.set_user_attr("attempts", 1)
    study.enqueue_trial({"x": 0.25})

    later = studies.open_study(URL, "s", space_file())
    assert studies.requeue(later) == 1
    waiting = later.get_trials()[0]
    assert waiting.state == TrialState.WAITING
    assert (waiting.params, waiting.intermediate_values, waiting.user_attrs) == ({"x": x}, {1: 0.5}, {"attempts": 1})

    again = later.ask()
    assert again.number == 0
    assert again.suggest_float("x", 0, 1) == x
    again.report(0.75, 2)
    later.tell(again, 0.75)
    done = later.get_trials()[0]
    assert (done.state, done.value, done.intermediate_values) == (TrialState.COMPLETE, 0.75, {1: 0.5, 2: 0.75})
    assert later.ask().suggest_float("x", 0, 1) == 0.25
    assert len(later.get_trials()) == 2


def test_only_running_trials_are_put_back() -> None:
    study = studies.open_study(URL, "s", space_file())
    study.tell(study.ask(), 1.0)
    study.tell(study.ask(), state=TrialState.FAIL)
    assert studies.requeue(study) == 0
    assert [trial.state for trial in study.get_trials()] == [TrialState.COMPLETE, TrialState.FAIL]


def test_sqlite_keeps_a_write_ahead_log() -> None:
    storage = studies.connect(URL)
    with storage.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1  # NORMAL
    with sqlite3.connect("studies.db") as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


EIGHT = """
import os
from pathlib import Path
from search import Float, SearchSpace
from search.spacefile import SpaceFile
from search.study import connect, open_study
connect("sqlite:///warm.db").engine.dispose()  # imports what creating tables needs, so that the eight collide
space = SpaceFile(Path("space.py"), "space", SearchSpace(x=Float(0, 1)), lambda config: iter(()))
gate, opener = os.pipe()
children = []
for _ in range(8):
    if not (child := os.fork()):
        os.close(opener)
        os.read(gate, 1)  # all wait here, and go at once
        try:
            open_study("sqlite:///studies.db", "s", space)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    children.append(child)
os.close(opener)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


def test_eight_processes_start_on_an_empty_storage_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", EIGHT], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == str([0] * 8), done.stderr
    assert [study.study_name for study in studies.connect(URL).get_all_studies()] == ["s"]


def test_a_study_belongs_to_its_space() -> None:
    studies.open_study(URL, "s", space_file())
    studies.open_study(URL, "s", space_file())
    with pytest.raises(SearchError, match=r"another space: x is FloatDistribution.* there and 0\.5 here; use --name"):
        studies.open_study(URL, "s", space_file(space=SearchSpace(x=0.5, epochs=4)))
    with pytest.raises(SearchError, match="another space: y is not set there and 1 here"):
        studies.open_study(URL, "s", space_file(space=SearchSpace(x=Float(0, 1), epochs=4, y=1)))
    with pytest.raises(SearchError, match=r"another metric, val_acc.*--name"):
        studies.open_study(URL, "s", space_file(metric="loss"))
    with pytest.raises(SearchError, match=r"is to maximize its val_acc; use --name"):
        studies.open_study(URL, "s", space_file(direction="minimize"))
    assert studies.open_study(URL, "other", space_file(metric="loss")).study_name == "other"


def test_a_plain_optuna_study_is_refused() -> None:
    study = optuna.create_study(storage=studies.connect(URL), study_name="plain")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(SearchError, match=r"'plain' was not made by `search run`.*--name"):
        studies.open_study(URL, "plain", space_file())
    assert studies.load_study(URL, "plain").user_attrs == {}


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a\nb", "x" * 101])
def test_a_name_that_could_be_no_files_is_refused(name: str) -> None:
    with pytest.raises(SearchError, match="--name"):
        studies.open_study(URL, name, space_file())
    assert not Path("studies.db").exists()


def test_the_pruner_is_asha_where_the_number_of_epochs_is_known() -> None:
    assert isinstance(studies.open_study(URL, "a", space_file()).pruner, ASHA)
    unknown = space_file(space=SearchSpace(x=Float(0, 1)))
    assert isinstance(studies.open_study(URL, "b", unknown).pruner, NopPruner)
    own = ASHA(min_resource=3)
    assert studies.open_study(URL, "c", space_file(pruner=own)).pruner is own


@pytest.mark.parametrize(("direction", "best"), [(MAXIMIZE, [2, 0, 3, 1]), (MINIMIZE, [1, 0, 3, 2])])
def test_ranked_puts_the_best_first_and_equals_in_order(direction: StudyDirection, best: list[int]) -> None:
    study = optuna.create_study(direction=direction)
    for value in (0.5, 0.1, 0.9, 0.5):
        study.add_trial(create_trial(value=value))
    study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values={1: 0.99}))
    assert [trial.number for trial in studies.ranked(study)] == best


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


def test_an_unknown_study_names_those_that_are_there(cli: Any) -> None:
    assert cli("report", "s") == (
        2,
        "",
        "search: no storage sqlite:///studies.db; --storage or SEARCH_STORAGE names another\n",
    )
    assert not Path("studies.db").exists()
    studies.open_study(URL, "two", space_file())
    studies.open_study(URL, "one", space_file())
    assert cli("export", "three") == (2, "", "search: no study 'three' in sqlite:///studies.db; known are one, two\n")


ELSEWHERE = """
from search.study import connect
storage = connect("sqlite:///studies.db")
storage.create_new_study(["maximize"], "other")
storage.engine.dispose()
"""


def test_a_look_at_the_file_does_not_give_up_its_locks() -> None:
    """POSIX drops all of a process's locks on a file when one of its descriptors is closed; SQLite alone may open it.

    Without them another process that ends takes the log of changes away under this one, and the file breaks.
    """
    study = studies.open_study(URL, "s", space_file())
    studies.check_storage(URL)
    subprocess.run([sys.executable, "-c", ELSEWHERE], check=True)
    assert Path("studies.db-wal").exists()
    study.set_user_attr("still", "here")
    with sqlite3.connect("studies.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert studies.load_study(URL, "s").user_attrs["still"] == "here"
