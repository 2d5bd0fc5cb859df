"""What a cell of the table says."""

from __future__ import annotations

import pytest

from search.config import TrainConfig
from search.reporting import columns

CONFIG = TrainConfig(model="cnn", dataset="digits", epochs=2, lr=0.0123456, step_size=5, gamma=0.1).model_dump()


def test_a_cell_holds_no_bar_and_no_line_end() -> None:
    assert columns.escape_cell("a|b\nc") == "a\\|b c"
    assert columns.escape_cell(0.0123456) == "0.01235"


@pytest.mark.parametrize(("value", "text"), [(0.85, "0.8500"), (1.0, "1.0000"), (None, "")])
def test_accuracy(value: float | None, text: str) -> None:
    assert columns.accuracy(value) == text


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
