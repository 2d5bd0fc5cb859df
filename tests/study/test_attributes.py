"""The stored names: where they stand, what they are, and that one of another program does no harm."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, Literal

import pytest
from house.source import parsed
from optuna import create_study
from optuna.study import Study
from optuna.trial import TrialState, create_trial

import search
from search.study.attributes import StudyRecord, TrialRecord, _Key, config_of, epoch_of, ranked

SEARCH = Path(search.__file__).parent
HOME = "study/attributes.py"
PASS_THEM_ON = {f"study/storage/{name}.py" for name in ("rdb", "mine", "writer", "writing")}
"""They store whatever names they are given."""
STUDY: dict[str, Any] = {
    "space": {"x": "1"},
    "metric": "score",
    "own_train": False,
    "space_file": "spaces/own.py",
    "baselines": [],
    "driver": {"host": "a", "pid": 1, "token": "t", "beat": 0.5},
    "ended": "the time is over",
    "tests": {"0": {"test_acc": 0.9}},
    "confirms": "s",
    "learnt": ["s"],
    "data": {"digits": {"classes": ["0", "1"]}},
    "weights": {"a.pth": "0123"},
    "limits": {"mb": 20.0},
    "sizes": {"cnn": {"mb": 0.1}},
}
TRIAL: dict[str, Any] = {
    "config": {"lr": 0.1},
    "epoch": {"score": 0.5},
    "cost": {"cpus": 1},
    "ran_on": {"device": "cpu"},
    "resumed_after": [3],
    "notes": ["note"],
    "val_images": 450,
    "test": {"test_acc": 0.9},
    "audited": 4,
    "error": "oom",
    "data": "0123456789abcdef",
    "weights": "0123",
    "code": "fedcba9876543210",
    "attempts": 2,
    "alone": True,
    "pruned": "too slow",
    "baseline": "hand",
    "from": "s, trial 1",
    "learnt": ["s"],
    "of": 4,
    "put_back": {"row": "Mine", "settings": {"lr": 0.1}},
    "rungs": {"1": [0.5, 2.0]},
    "refused": "mb is 30",
}
"""Stored name to such a value."""
FIELDS = {"from": "source"}
"""The field of a record, where it has another name."""


def touches(path: Path) -> bool:
    """Whether a module reads or writes user attributes by itself."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute) and node.attr in ("user_attrs", "set_user_attr"):
            return True
        if isinstance(node, ast.keyword) and node.arg == "user_attrs" and isinstance(node.value, ast.Dict):
            return True
    return False


def test_attributes_are_read_and_written_in_one_module() -> None:
    found = {path.relative_to(SEARCH).as_posix() for path in SEARCH.rglob("*.py") if touches(path)}
    assert found == {HOME, *PASS_THEM_ON}


@pytest.fixture
def study() -> Study:
    return create_study()


def test_what_is_written_is_stored_under_its_name_and_read_again(study: Study) -> None:
    trial, draft = study.ask(), TrialRecord()
    for record, values in ((StudyRecord(study), STUDY), (TrialRecord(trial), TRIAL), (draft, TRIAL)):
        for name, value in values.items():
            setattr(record, FIELDS.get(name, name), value)
            assert getattr(record, FIELDS.get(name, name)) == value
    assert study.user_attrs == STUDY
    assert trial.user_attrs == draft.stored == TRIAL


def test_every_field_is_stored_under_a_name_above() -> None:
    for kind, values in ((StudyRecord, STUDY), (TrialRecord, TRIAL)):
        fields = {name for name, field in vars(kind).items() if isinstance(field, _Key)}
        assert fields == {FIELDS.get(name, name) for name in values}


def test_what_nobody_wrote_is_nothing(study: Study) -> None:
    records = ((StudyRecord(study), STUDY), (TrialRecord(study.ask()), TRIAL))
    assert not any(getattr(record, FIELDS.get(name, name)) for record, values in records for name in values)


def test_another_programs_attribute_of_the_same_name_is_nothing() -> None:
    theirs = {"config": "a.yaml", "epoch": 7, "cost": 1.5, "val_images": "many", "of": [1]}
    trial = create_trial(value=1.0, user_attrs=theirs)
    record = TrialRecord(trial)
    assert (record.val_images, record.of) == (None, None)
    assert record.cost == epoch_of(trial) == {}
    assert config_of(trial) == {}


@pytest.mark.parametrize(("direction", "best"), [("maximize", [2, 0, 3, 1]), ("minimize", [1, 0, 3, 2])])
def test_ranked_puts_the_best_first_and_equals_in_order(
    direction: Literal["minimize", "maximize"], best: list[int]
) -> None:
    study = create_study(direction=direction)
    for value in (0.5, 0.1, 0.9, 0.5):
        study.add_trial(create_trial(value=value))
    study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values={1: 0.99}))
    assert [trial.number for trial in ranked(study)] == best
