"""Settings of any kind have one text in every process: written, resumed, exported and confirmed, on both engines."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import Cli
from live import BIN

from search.study.study import load_study

pytestmark = pytest.mark.usefixtures("sys_path")
SPACE = """
import numpy as np
import torch
from enum import Enum
from pathlib import Path
from search import Choice, Float, SearchSpace

class Colour(Enum):
    RED = "red"

space = SearchSpace(
    seed=0, x=Float(0, 1), classes={"cat", "dog", "bird", "fish"}, inner={"of": {"z", "y", "x"}},
    width=Choice(*np.arange(16, 65, 16)), rate=Choice(*np.logspace(-3, -1, 3)), batch=np.int64(32),
    p=Choice(np.float32(0.1), np.float32(0.5)), where=Path("a/b"), colour=Colour.RED, kind=torch.float16,
)
metric, trials = "score", 3

def train(config):
    kinds = {name: type(value).__name__ for name, value in config.items()}
    assert kinds.pop("where") in ("PosixPath", "Path")
    assert kinds == {
        "seed": "int", "x": "float", "classes": "set", "inner": "dict", "width": "int64", "rate": "float64",
        "batch": "int64", "p": "float32", "colour": "Colour", "kind": "dtype",
    }, kinds
    yield {"score": config["x"] + config["seed"] / 100}
"""
FIXED = {
    "seed": 0,
    "classes": ["bird", "cat", "dog", "fish"],
    "inner": {"of": ["x", "y", "z"]},
    "batch": 32,
    "where": "a/b",
    "colour": "red",
    "kind": "float16",
}


def again(*words: str) -> str:
    """`search` in a process in which sets have another order."""
    environment = {**os.environ, "PYTHONHASHSEED": "3"}
    done = subprocess.run(
        [str(BIN / "search"), *words], env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def test_settings_have_one_text_in_every_process(cli: Cli, write: Callable[[str, str], Path]) -> None:
    """Three trials in Ray's workers, and a fourth inline, in a process that gives sets another order."""
    write("space.py", SPACE)
    done = cli("run", "space.py", "--engine", "tune")
    assert done.status == 0, done
    assert "[4/4] trial 3 completed" in again("run", "space.py", "--engine", "inline", "--trials", "4")
    study = load_study("sqlite:///studies.db", "space")
    configs: list[dict[str, Any]] = [trial.user_attrs["config"] for trial in study.trials]
    for config in configs:
        assert {name: config[name] for name in FIXED} == FIXED
        assert (config["width"] in (16, 32, 48, 64), config["p"] in (float(np.float32(0.1)), 0.5)) == (True, True)
        assert config["rate"] in (0.001, 0.01, 0.1)
    best = yaml.safe_load(Path("reports/space.best.yaml").read_text())
    assert best["config"] == configs[study.best_trial.number]
    assert "np." not in Path("reports/space.md").read_text()
    for seeds, engine in enumerate(("tune", "inline"), 1):
        confirmed = cli("confirm", "space", "--engine", engine, "--top", 1, "--seeds", seeds)
        assert confirmed.status == 0, confirmed
    trials = load_study("sqlite:///studies.db", "space.confirm").trials
    assert [trial.value for trial in trials] == [study.best_value + 0.01, study.best_value + 0.02]
    assert "of score after the last epoch" in Path("reports/space.md").read_text()
    assert "all of that is confirmed already" in again("confirm", "space", "--top", "1", "--seeds", "2")
