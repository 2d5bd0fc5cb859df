"""What a cell of the table says."""

from __future__ import annotations

from typing import Any

import pytest

from search.config import TrainConfig
from search.reporting import columns

CONFIG = TrainConfig(model="cnn", dataset="digits", epochs=2, lr=0.0123456, step_size=5, gamma=0.1).model_dump()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0123456, "0.01235"),
        (1e-06, "1e-06"),
        (0.1, "0.1"),
        (30, "30"),
        (None, ""),
        (True, "True"),
        ("a|b\nc", "a\\|b c"),
        (float("nan"), "nan"),
    ],
)
def test_number(value: Any, text: str) -> None:
    assert columns.number(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.85, "0.8500"), (1.0, "1.0000"), (None, "")])
def test_accuracy(value: float | None, text: str) -> None:
    assert columns.accuracy(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (8.3, "8.3 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min 00 s"),
        (245, "4 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7800, "2 h 10 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert columns.duration(seconds) == text


def test_settings_stand_under_the_users_own_words() -> None:
    assert columns.settings(CONFIG) == {
        "Model": "cnn",
        "frozen": "none",
        "LR": "0.01235",
        "MOMENTUM": "0.9",
        "WEIGHT_DECAY": "0",
        "NUM_EPOCHS": "2",
        "STEP_SIZE": "5",
        "GAMMA": "0.1",
    }


def test_a_searched_setting_without_a_column_gets_one() -> None:
    row = columns.settings(CONFIG | {"batch_size": 32}, varied=["lr", "weights", "batch_size", "elsewhere"])
    assert list(row)[-2:] == ["GAMMA", "batch_size"]
    assert row["batch_size"] == "32"


@pytest.mark.parametrize(
    ("weights", "model"),
    [(None, "cnn"), ("DEFAULT", "cnn (pretrained)"), ("some/folder/file.pth", "cnn (file.pth)")],
)
def test_the_model_says_where_its_weights_come_from(weights: str | None, model: str) -> None:
    assert columns.settings(CONFIG | {"weights": weights})["Model"] == model


def test_frozen_prefixes_are_listed() -> None:
    assert columns.settings(CONFIG | {"frozen": ["features", "classifier.0"]})["frozen"] == "features, classifier.0"


def test_settings_of_an_own_train_keep_their_names() -> None:
    assert columns.settings({"loss": "hinge", "alpha": 1e-4}) == {"loss": "hinge", "alpha": "0.0001"}


def test_results() -> None:
    epoch = {"last_step_loss": 0.25, "val_acc": 0.5, "val_loss": 1.5}
    usual = {"TRAINING LOSS AT LAST STEP": "0.25", "VALIDATION ACC": "0.5000", "TESTING ACC": ""}
    assert columns.results("val_acc", epoch, None, True) == usual
    other = columns.results("val_loss", epoch, 0.625, True)
    assert other == usual | {"val_loss": "1.5", "TESTING ACC": "0.6250"}
    assert columns.results("score", {"score": 2}, None, False) == {"score": "2"}
    assert columns.results("score", {}, None, False) == {"score": ""}
