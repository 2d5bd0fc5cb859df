"""A connection that is cut while an epoch is written: it is stored once."""

from __future__ import annotations

from collections.abc import Iterator

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState
from postgres import Cut, Postgres

from search.study.storage.open import connect
from search.study.storage.rdb import Storage, record


@pytest.fixture
def cut(postgres: Postgres, database: str) -> Iterator[tuple[Cut, Storage]]:
    """A storage behind what cuts it off, and that."""
    cutter = Cut(postgres.port)
    storage = connect(database.replace(f":{postgres.port}/", f":{cutter.port}/"))
    assert isinstance(storage, Storage)
    yield cutter, storage
    storage.engine.dispose()
    cutter.close()


def test_what_was_written_although_the_answer_was_lost_is_there_once(cut: tuple[Cut, Storage]) -> None:
    cutter, storage = cut

    def lose() -> None:
        assert not cutter.armed  # the one before was lost
        cutter.armed = True

    lose()
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize", load_if_exists=True)
    lose()
    study.set_user_attr("space", {"x": 1})
    lose()
    study.enqueue_trial({"x": 0.5}, user_attrs={"baseline": "B"})
    lose()
    first = study.ask()  # WAITING -> RUNNING
    lose()
    second = study.ask()  # a new one
    for trial in (first, second):
        lose()
        trial.suggest_float("x", 0, 1)
        lose()
        trial.set_user_attr("epoch", {"score": 1})
        lose()
        trial.report(0.25, 1)
        lose()
        record(trial, {"epoch": {"score": 2}}, 2, 0.5)
        lose()
        storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
    (first, second) = (study.ask(), study.ask())
    lose()
    study.tell(first, 0.5)
    lose()
    study.tell(second, state=TrialState.FAIL)
    assert not cutter.armed
    trials = study.trials
    assert [t.number for t in trials] == [0, 1]
    assert [t.state for t in trials] == [TrialState.COMPLETE, TrialState.FAIL]
    assert [t.intermediate_values for t in trials] == [{1: 0.25, 2: 0.5}] * 2
    assert trials[0].params == {"x": 0.5}
    assert trials[0].user_attrs == {"baseline": "B", "epoch": {"score": 2}}
    assert len(optuna.get_all_study_summaries(storage)) == 1


def test_a_change_that_another_made_is_not_taken_for_ours(cut: tuple[Cut, Storage], database: str) -> None:
    """Ended elsewhere while we were cut off before our own word: that is an error, as ever."""
    _, storage = cut
    other = connect(database)
    study = storage.create_new_study([StudyDirection.MAXIMIZE], "s")
    trial = storage.create_new_trial(study)
    other.set_trial_state_values(trial, TrialState.FAIL)
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        storage.set_trial_state_values(trial, TrialState.FAIL)
    other.engine.dispose()
