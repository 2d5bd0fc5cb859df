"""The ranked table of studies made as the driver makes them."""

from __future__ import annotations

import io
import math
from typing import Any

import optuna
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import TrialState, create_trial
from rich.console import Console

from search.analysis.view import StudyView
from search.config import TrainConfig
from search.reporting import table
from search.reporting.columns import unescaped

CONFIG = dict(model="cnn", dataset="digits", epochs=2, lr=0.01, step_size=5, gamma=0.1)
LR = FloatDistribution(1e-4, 1.0, log=True)


def made(metric: str = "val_acc", direction: Any = "maximize", own: bool = False) -> Study:
    study = optuna.create_study(study_name="made", direction=direction)
    for name, value in {"metric": metric, "own_train": own, "space": {}, "baselines": []}.items():
        study.set_user_attr(name, value)
    return study


def frame_of(study: Study) -> pd.DataFrame:
    return table.frame(StudyView(study))


def markdown(study: Study, full: bool = True) -> str:
    return table.markdown(StudyView(study), full=full)


def add(study: Study, value: float, lr: float = 0.01, **attrs: Any) -> None:
    config = TrainConfig.model_validate(CONFIG | {"lr": lr}).model_dump(mode="json")
    epoch = {"last_step_loss": 0.5, "val_acc": value, "val_loss": 1 - value, "seconds": 1.0, "machine_seconds": 2.0}
    user_attrs = {"config": config, "epoch": epoch} | attrs
    measured = epoch[study.user_attrs["metric"]]
    study.add_trial(create_trial(value=measured, params={"lr": lr}, distributions={"lr": LR}, user_attrs=user_attrs))


BASELINE = {
    "name": "Model 1",
    "settings": CONFIG | {"frozen": [], "momentum": 0.9, "weight_decay": 5e-5, "weights": "DEFAULT"},
    "train_loss": 1.25,
    "val_acc": 0.75,
    "test_acc": 0.7,
}


def test_the_whole_table() -> None:
    study = made()
    add(study, 0.5, lr=0.001)
    add(study, 0.9, lr=0.0123456, baseline="Model 1")
    study.set_user_attr("baselines", [BASELINE])
    study.set_user_attr("tests", {"1": {"test_acc": 0.8}})
    assert cells_of(markdown(study)) == [
        "Rank | Trial | Model | frozen | LR | MOMENTUM | WEIGHT_DECAY | NUM_EPOCHS | STEP_SIZE | GAMMA"
        " | TRAINING LOSS AT LAST STEP | VALIDATION ACC | TESTING ACC",
        "1 | 1, as Model 1 | cnn | none | 0.01235 | 0.9 | 0 | 2 | 5 | 0.1 | 0.5 | 0.9000 | 0.8000",
        "2 | hand-tuned: Model 1 | cnn (pretrained) | none | 0.01 | 0.9 | 5e-05 | 2 | 5 | 0.1 | 1.25 | 0.7500 | 0.7000",
        "3 | 0 | cnn | none | 0.001 | 0.9 | 0 | 2 | 5 | 0.1 | 0.5 | 0.5000 | ",
    ]


def cells_of(text: str) -> list[str]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[0] == "|"]
    return [" | ".join(row) for row in (rows[0], *rows[2:])]


def test_the_result_comes_first_and_what_is_the_same_stands_above() -> None:
    study = made()
    add(study, 0.5, lr=0.001)
    add(study, 0.9, lr=0.0123456, baseline="Model 1")
    study.set_user_attr("tests", {"1": {"test_acc": 0.8}})
    words, text = markdown(study, full=False).split("\n\n")
    assert words == (
        "The same in all rows: the model cnn, no layer frozen, momentum 0.9, weight decay 0, 2 epochs, step size 5, "
        "gamma 0.1."
    )
    assert cells_of(text) == [
        "Rank | Trial | VALIDATION ACC | TESTING ACC | LR",
        "1 | 1, as Model 1 | 0.9000 | 0.8000 | 0.01235",
        "2 | 0 | 0.5000 |  | 0.001",
    ]
    study.set_user_attr("baselines", [BASELINE])  # whose row keeps its place, and says where it differs
    words, text = markdown(study, full=False).split("\n\n")
    assert words.startswith("The same in all rows: no layer frozen, momentum 0.9, 2 epochs")
    assert cells_of(text)[:1] + cells_of(text)[2:3] == [
        "Rank | Trial | VALIDATION ACC | TESTING ACC | Model | LR | WEIGHT_DECAY",
        "2 | hand-tuned: Model 1 | 0.7500 | 0.7000 | cnn (pretrained) | 0.01 | 5e-05",
    ]


def test_one_row_has_its_settings_in_words_and_a_loss_stands_first() -> None:
    study = made("val_loss", "minimize")
    add(study, 0.5)
    words, text = markdown(study, full=False).split("\n\n")
    assert words.startswith("Its settings: the model cnn, no layer frozen, learning rate 0.01, ")
    assert cells_of(text) == ["Rank | Trial | val_loss | VALIDATION ACC", "1 | 0 | 0.5 | 0.5000"]


@pytest.mark.parametrize("width", [100, 60])
def test_a_terminal_shows_every_column(width: int) -> None:
    study = made()
    for number in range(3):
        add(study, 0.5, lr=0.1**number, baseline=f"a_long_name_without_any_blank|{number}" * 3)
    shown = Console(width=width, file=io.StringIO())
    shown.print(table.ranking(StudyView(study)).terminal(width))
    assert isinstance(shown.file, io.StringIO)
    lines = shown.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    whole = "".join("".join(lines).split())
    assert "…" not in whole
    assert all(name in whole for name in ("Rank", "Trial", "LR"))
    folded = "".join(line[7:60].split("  ")[0].strip() for line in lines)
    assert "a_long_name_without_any_blank|2" in folded.replace(" ", "")


@pytest.mark.parametrize(("width", "tables"), [(100, 1), (72, 2)])
def test_no_word_is_broken_in_a_terminal(width: int, tables: int) -> None:
    study = made()
    names = [f"features._blocks.{number}" for number in range(12)]
    for number in range(3):
        varied = {"momentum": 0.5 + number / 7, "weight_decay": 1e-5 * number, "frozen": names[number::3]}
        add(study, 0.5, lr=0.1, config=TrainConfig.model_validate(CONFIG | varied).model_dump(mode="json"))
    found = table.ranking(StudyView(study))
    shown = Console(width=width, file=io.StringIO())
    shown.print(found.terminal(width))
    assert isinstance(shown.file, io.StringIO)
    text = shown.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for column in zip(found.names, *found.rows, strict=True):
        assert all(word in text.split() for cell in column for word in unescaped(cell).split())
    assert text.count("Trial") == tables


@given(
    st.lists(st.lists(st.text("ab ", max_size=60), min_size=2, max_size=2), min_size=1, max_size=6), st.integers(1, 120)
)
def test_columns_are_as_wide_as_there_is_room_for(texts: list[list[str]], room: int) -> None:
    widths = table._widths(texts, room)
    whole = [max(map(len, column)) for column in texts]
    assert sum(widths) <= max(room, len(texts))
    if sum(map(table._least, texts)) <= room:
        assert all(wide >= table._least(column) for wide, column in zip(widths, texts, strict=True))
        assert sum(widths) == min(room, sum(whole))


def ranks(study: Study) -> list[tuple[str, str]]:
    frame = frame_of(study)
    return list(zip(frame["Rank"], frame["Trial"], strict=True))


def test_ties_share_a_rank() -> None:
    study = made()
    for value in (0.5, 0.75, 0.25, 0.75):
        add(study, value)
    study.set_user_attr("baselines", [BASELINE])
    assert ranks(study) == [("1", "1"), ("1", "3"), ("1", "hand-tuned: Model 1"), ("4", "0"), ("5", "2")]


@given(
    st.lists(st.none() | st.sampled_from([-0.0, 0.0, 0.25, 0.5, 1, 1.0]) | st.floats(allow_nan=False)),
    st.sampled_from([1, -1]),
)
@settings(deadline=None)
def test_a_rank_is_the_first_place_of_its_value(values: list[float | None], sign: int) -> None:
    found = table._rank([(value, {"Trial": str(i)}) for i, value in enumerate(values)], sign)
    order = sorted(range(len(values)), key=lambda i: math.inf if (value := values[i]) is None else -sign * value)
    ordered = [values[i] for i in order]
    assert [row["Trial"] for row in found] == [str(i) for i in order]
    assert [row["Rank"] for row in found] == [
        "" if value is None else str(ordered.index(value) + 1) for value in ordered
    ]


def test_a_loss_is_minimised_and_baselines_have_none() -> None:
    study = made("val_loss", "minimize")
    add(study, 0.5)
    add(study, 0.75)
    study.set_user_attr("baselines", [BASELINE])
    assert ranks(study) == [("1", "1"), ("2", "0"), ("", "hand-tuned: Model 1")]
    assert list(frame_of(study)["val_loss"]) == ["0.25", "0.5", ""]


def test_only_complete_trials_are_ranked() -> None:
    study = made()
    add(study, 0.5)
    for state in (TrialState.PRUNED, TrialState.FAIL, TrialState.WAITING):
        study.add_trial(create_trial(state=state, intermediate_values={1: 0.99}))
    assert ranks(study) == [("1", "0")]


def test_an_own_train_has_its_own_columns() -> None:
    study = made("accuracy", own=True)
    for value in (0.25, 0.5):
        attrs = {"config": {"loss": "a|b", "alpha": 1e-4}, "epoch": {"accuracy": value, "seconds": 1.0}}
        study.add_trial(create_trial(value=value, user_attrs=attrs))
    frame = frame_of(study)
    assert list(frame) == ["Rank", "Trial", "loss", "alpha", "accuracy"]
    assert list(frame.iloc[0]) == ["1", "1", "a\\|b", "0.0001", "0.5"]


def test_a_bar_in_a_name_breaks_no_row() -> None:
    study = made()
    add(study, 0.5, baseline="a|b")
    study.set_user_attr("baselines", [BASELINE | {"name": "c|d"}])
    plain = optuna.create_study()
    plain.add_trial(create_trial(value=1.0, params={"e|f": 0.1}, distributions={"e|f": LR}))
    for text in (markdown(study), markdown(plain)):
        bars = {line.replace("\\|", "").count("|") for line in text.splitlines()}
        assert len(bars) == 1
        assert text.count("\\|") >= 1


def test_a_searched_setting_gets_a_column() -> None:
    study = made()
    config = TrainConfig.model_validate(CONFIG | {"batch_size": 8}).model_dump(mode="json")
    study.add_trial(
        create_trial(
            value=0.5,
            params={"branch.batch_size": 8},
            distributions={"branch.batch_size": IntDistribution(1, 9)},
            user_attrs={"config": config, "epoch": {"val_acc": 0.5}},
        )
    )
    assert list(frame_of(study)["batch_size"]) == ["8"]


def test_what_an_option_fixes_gets_a_column() -> None:
    """As arm=Choice(flat=dict(dropout=0.25, hidden=...), ...): the searched name, arm, is no setting."""
    study = made()
    arms: dict[str, dict[str, Any]] = {
        "flat": {"hidden": [8, 8]},
        "narrow": {"hidden": [8, 2, 8], "dropout": 0.25},
    }
    for arm, fixed in arms.items():
        config = TrainConfig.model_validate(CONFIG | {"model": "mlp"} | fixed).model_dump(mode="json")
        study.add_trial(
            create_trial(
                value=len(fixed) / 4,
                params={"arm": arm},
                distributions={"arm": CategoricalDistribution(("flat", "narrow"))},
                user_attrs={"config": config, "epoch": {"val_acc": len(fixed) / 4}},
            )
        )
    shown = table.ranking(StudyView(study))
    assert shown.names[-2:] == ("dropout", "hidden")
    assert [row[-1] for row in shown.rows] == ["[8, 2, 8]", "[8, 8]"]


def test_a_plain_optuna_study_has_its_parameters() -> None:
    study = optuna.create_study()
    study.add_trial(create_trial(value=2.0, params={"lr": 0.1}, distributions={"lr": LR}))
    study.add_trial(create_trial(value=1.0, params={"lr": 0.2}, distributions={"lr": LR}))
    assert frame_of(study).to_dict("list") == {
        "Rank": ["1", "2"],
        "Trial": ["1", "0"],
        "lr": ["0.2", "0.1"],
        "value": ["1", "2"],
    }


def test_no_trial_completed() -> None:
    study = made()
    study.add_trial(create_trial(state=TrialState.FAIL))
    assert markdown(study) == "No trial completed."
