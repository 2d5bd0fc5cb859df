"""Report and status as data, from studies in SQLite."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import time

import optuna
import pytest
from conftest import Cli, add_predictions
from optuna.trial import TrialState, create_trial

from search.study.storage.open import connect


@pytest.fixture
def studies() -> optuna.Study:
    """Three studies: of `search run`, of two objectives, and an empty one."""
    storage = connect("sqlite:///studies.db")
    made = optuna.create_study(storage=storage, study_name="made", direction="maximize")
    made.set_user_attr("metric", "val_acc")
    made.set_user_attr(
        "baselines",
        [
            {
                "name": "Base", "settings": {"model": "cnn", "lr": 1.0, "frozen": []},
                "train_loss": None, "val_acc": 0.25, "test_acc": 0.5,
            }
        ],
    )  # fmt: skip
    for number, right in enumerate((b"\1\1\0\0", b"\1\1\1\0")):
        value = sum(right) / 4
        attrs = {"config": {"x": number, "many": [1, 2]}, "epoch": {"val_acc": value}, "val_images": 4}
        made.add_trial(create_trial(value=value, user_attrs=attrs))
        add_predictions("made", number, map(bool, right))
    made.add_trial(create_trial(state=TrialState.FAIL))
    pair = optuna.create_study(storage=storage, study_name="pair", directions=["minimize", "maximize"])
    pair.add_trial(create_trial(values=[1.0, float("inf")]))
    optuna.create_study(storage=storage, study_name="empty")
    return made


def test_report_as_json(cli: Cli, studies: optuna.Study) -> None:
    status, out, err = cli("report", "made", "--json")
    assert (status, err) == (0, "")
    content = json.loads(out)
    assert list(content) == [
        "study", "metric", "directions", "trials", "machine_seconds", "saved_seconds", "gpu_hours", "saved_gpu_hours",
        "comments", "looks_at_test", "classes", "confirmed", "rows",
    ]  # fmt: skip
    assert content["trials"] == {"running": 0, "complete": 2, "pruned": 0, "fail": 1, "waiting": 0}
    first, second, hand = content["rows"]
    assert list(first) == [
        "trial", "baseline", "values", "last_step_loss", "train_loss",
        "val_acc", "val_acc_low", "val_acc_high", "val_images", "test_acc",
        "test_images", "test_seeds", "tied_with_first", "seconds_an_epoch", "machine_seconds", "gpu_hours",
        "peak_memory", "parameters", "trainable", "megabytes", "latency_ms", "config",
    ]  # fmt: skip
    assert (first["trial"], first["val_acc"], first["tied_with_first"], second["tied_with_first"]) == (
        1,
        0.75,
        None,
        True,
    )
    assert first["val_acc_low"] == pytest.approx(0.3006, abs=1e-4)
    assert (hand["baseline"], hand["val_acc"], hand["config"]["lr"]) == ("Base", 0.25, 1.0)


def test_report_as_csv(cli: Cli, studies: optuna.Study) -> None:
    status, out, _ = cli("report", "made", "--csv")
    assert status == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["trial"] for row in rows] == ["1", "0", ""]
    assert (rows[0]["config.x"], rows[0]["config.many"], rows[2]["config.lr"]) == ("1", "1 2", "1.0")


def test_what_json_has_no_number_for_is_null(cli: Cli, studies: optuna.Study) -> None:
    content = json.loads(cli("report", "pair", "--json").out)
    assert content["metric"] == ["value 0", "value 1"]
    assert content["rows"][0]["values"] == [1.0, None]
    assert json.loads(cli("report", "empty", "--json").out)["rows"] == []


def test_status_of_all_studies(cli: Cli, studies: optuna.Study) -> None:
    beat = {"host": socket.gethostname(), "pid": os.getppid(), "token": "t", "beat": time.time()}
    studies.set_user_attr("driver", beat)
    rows = json.loads(cli("status", "--json").out)
    assert [row["study"] for row in rows] == ["empty", "made", "pair"]
    here = f"process {os.getppid()} on {socket.gethostname()}"
    assert rows[1] == {
        "study": "made", "metric": "val_acc", "best": 0.75, "best_trial": 1, "running": 0, "complete": 2, "pruned": 0,
        "fail": 1, "waiting": 0, "driver": here,
    }  # fmt: skip
    assert [row["best"] for row in rows] == [None, 0.75, None]
    studies.set_user_attr("driver", beat | {"beat": time.time() - 31})
    (row,) = csv.DictReader(io.StringIO(cli("status", "made", "--csv").out))
    assert (row["best_trial"], row["driver"]) == ("1", "")


def test_status_for_people(cli: Cli, studies: optuna.Study) -> None:
    status, out, err = cli("status")
    assert (status, err) == (0, "")
    assert [line.split("|")[1].strip() for line in out.splitlines()[2:]] == ["empty", "made", "pair"]
    assert cli("status", "maed").status == 2
    assert cli("status", "--storage", "sqlite:///none.db").status == 2
    connect("sqlite:///new.db")
    assert cli("status", "--storage", "sqlite:///new.db").out == "No study yet.\n"
