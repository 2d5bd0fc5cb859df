"""Studies in a real SQLite file: opened, refused, and taken up again after a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.pruners import NopPruner
from optuna.trial import TrialState

from search import ASHA, Float, SearchSpace
from search.errors import SearchError
from search.space.file import SpaceFile
from search.study import study as studies
from search.study.storage.open import connect

URL = "sqlite:///studies.db"


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


def test_a_study_belongs_to_its_space() -> None:
    studies.open_study(URL, "s", space_file())
    studies.open_study(URL, "s", space_file())
    with pytest.raises(SearchError, match=r"another space: x is Float\(0\.0, 1\.0\) there and 0\.5 here; every trial"):
        studies.open_study(URL, "s", space_file(space=SearchSpace(x=0.5, epochs=4)))
    with pytest.raises(SearchError, match=r"another space: y is not set there and 1 here"):
        studies.open_study(URL, "s", space_file(space=SearchSpace(x=Float(0, 1), epochs=4, y=1)))
    with pytest.raises(SearchError, match=r"another metric, val_acc.*name="):
        studies.open_study(URL, "s", space_file(metric="loss"))
    with pytest.raises(SearchError, match=r"is to maximize its val_acc; use name="):
        studies.open_study(URL, "s", space_file(direction="minimize"))
    assert studies.open_study(URL, "other", space_file(metric="loss")).study_name == "other"


def test_a_plain_optuna_study_is_refused() -> None:
    study = optuna.create_study(storage=connect(URL), study_name="plain")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(SearchError, match=r"'plain' was not made by `search run`.*name="):
        studies.open_study(URL, "plain", space_file())
    assert studies.load_study(URL, "plain").user_attrs == {}


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a\nb", "x" * 101])
def test_a_name_that_could_be_no_files_is_refused(name: str) -> None:
    with pytest.raises(SearchError, match="name="):
        studies.open_study(URL, name, space_file())
    assert not Path("studies.db").exists()


def test_the_pruner_is_asha_where_the_number_of_epochs_is_known() -> None:
    assert isinstance(studies.open_study(URL, "a", space_file()).pruner, ASHA)
    unknown = space_file(space=SearchSpace(x=Float(0, 1)))
    assert isinstance(studies.open_study(URL, "b", unknown).pruner, NopPruner)
    own = ASHA(min_resource=3)
    assert studies.open_study(URL, "c", space_file(pruner=own)).pruner is own


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
