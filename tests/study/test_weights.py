"""A study knows which weights its numbers began with: real files, real runs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
import pytest
import torch
from conftest import Cli
from safetensors import safe_open
from safetensors.torch import save_file

from search import models
from search.engine.messages import Report
from search.engine.trial import ActiveTrial
from search.models.weights import Loaded
from search.study.attributes import StudyRecord, TrialRecord
from search.study.data import Found, weights_name
from search.study.study import load_study

URL = "sqlite:///studies.db"
SPACE = """
from search import Float, SearchSpace
space = SearchSpace(dataset="digits", model="mlp", hidden=(4,), epochs=1, lr=Float(0.01, 0.1), weights="w.pth",
                    batch_size=256, step_size=5, gamma=0.1)
"""
RUN = ("run", "space.py", "--engine", "inline", "--sealed", "--trials")


def weights(seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return models.build("mlp", 10, 1, side=8, hidden=(4,)).state_dict()


def test_other_weights_under_the_same_path_are_refused(cli: Cli, write: Callable[[str, str], Path]) -> None:
    write("space.py", SPACE)
    torch.save(weights(0), "w.pth")
    assert cli(*RUN, 1).status == 0
    study = load_study(URL, "space")
    digest = StudyRecord(study).weights["mlp w.pth"]
    assert TrialRecord(study.trials[0]).weights == digest
    assert f"- weights of mlp w.pth: {digest}, by their content" in Path("reports/space.md").read_text()

    torch.save({"epoch": 7, "state_dict": {f"module.{name}": value for name, value in weights(0).items()}}, "w.pth")
    assert cli(*RUN, 2).status == 0  # the same values, wrapped
    assert cli("train", "reports/space.best.yaml").status == 0
    with safe_open("reports/space.best.safetensors", "pt") as file:
        assert json.loads(file.metadata()["weights"]) == digest

    torch.save(weights(1), "w.pth")
    for words in ((*RUN, 3), ("confirm", "space", "--engine", "inline", "--seeds", 1, "--top", 1)):
        refused = cli(*words)
        assert refused.status == 2
        assert "made with other weights of the name mlp w.pth: their content has changed since" in refused.err
        assert "--name new --from space begins a new one with its best" in refused.err
    trained = cli("train", "reports/space.best.yaml")
    assert trained.status == 2
    assert "the trial began with other weights: they have changed since" in trained.err
    assert len(load_study(URL, "space").trials) == 2


def test_a_trial_of_other_data_or_weights_than_the_check_saw_fails() -> None:
    trial = optuna.create_study().ask()
    settings = {"model": "mlp", "weights": "w.pth", "dataset": "digits"}
    job = ActiveTrial(trial, settings, trial.study.trials[0])
    known = Found({"digits": {"fingerprint": "aa", "classes": [], "images": {}}}, {"mlp w.pth": "cc"})
    for seen, why in {
        ("aa", "cc"): "",
        (None, None): "",
        ("ab", "cc"): "digits",
        ("aa", "cd"): "the weights of",
    }.items():
        job.last = Report(0, {}, 1, last=False, data=seen[0], weights=seen[1])
        assert job.other(known).startswith(f"bad_data: {why}" if why else "")
        assert bool(job.other(known)) == bool(why)
        assert job.other(Found({"digits": 7}, {})) == ""  # type: ignore[dict-item] # another program wrote it


def test_of_a_study_from_before_it_is_said_that_its_weights_are_not_known(
    cli: Cli, write: Callable[[str, str], Path]
) -> None:
    write("space.py", SPACE)
    torch.save(weights(0), "w.pth")
    assert cli(*RUN, 2).status == 0
    record = StudyRecord(load_study(URL, "space"))
    record.weights = None
    with closing(sqlite3.connect("studies.db")) as connection:
        connection.execute("DELETE FROM trial_user_attributes WHERE key = 'weights'")
        connection.commit()
    assert "of 2 earlier trials it is not known which weights of the name mlp w.pth they began with" in cli(*RUN, 3).out
    assert "not known" not in cli(*RUN, 4).out


def test_one_content_has_one_digest_whatever_the_file(tmp_path: Path) -> None:
    state, found = weights(0), list[Loaded]()
    torch.save(state, tmp_path / "a.pth")
    save_file(dict(reversed(state.items())), tmp_path / "b.safetensors")
    torch.save({"model": {f"_orig_mod.module.{name}": value for name, value in state.items()}}, tmp_path / "c.pt")
    for file in sorted(map(str, tmp_path.glob("*.*"))):
        models.build("mlp", 3, 1, side=8, hidden=(4,), weights=file, read=found.append)
    assert len({read.digest for read in found}) == 1
    next(iter(state.values()))[0] += 1e-3
    torch.save(state, tmp_path / "a.pth")
    models.build("mlp", 3, 1, side=8, hidden=(4,), weights=str(tmp_path / "a.pth"), read=found.append)
    assert found[-1].digest != found[0].digest


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"model": "cnn"}, ""),
        ({"model": "cnn", "weights": None, "image_side": 32}, ""),
        ({"model": "vit_b_16", "weights": "DEFAULT"}, "vit_b_16 DEFAULT"),
        ({"model": "vit_b_16", "weights": "w.pth", "image_side": 96}, "vit_b_16 w.pth at 96 px"),
    ],
)
def test_the_name_of_weights(settings: dict[str, object], name: str) -> None:
    assert weights_name(settings) == name
