"""Settings of any kind have one text in every process: written, resumed, exported and confirmed, on both engines."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import Cli
from live import CORES

from search.study.study import load_study

pytestmark = [pytest.mark.whole, pytest.mark.usefixtures("sys_path")]
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


ELSEWHERE = """
import sys
from search.cli import main

for words in ("run space.py --trials 4", "confirm space --top 1 --seeds 1"):
    sys.argv = ["search", *words.split(), "--engine", "inline"]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end
"""


def elsewhere() -> str:
    """What ELSEWHERE prints, in a process in which sets have another order."""
    environment = {**os.environ, "PYTHONHASHSEED": "3"}
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def test_settings_have_one_text_in_every_process(cli: Cli, write: Callable[[str, str], Path]) -> None:
    """Three trials in a worker process, a fourth inline, in a process that gives sets another order, as is the first
    seed of the best; its second seed in Ray.
    """
    write("space.py", SPACE)
    one = ("--cpus-per-trial", CORES)  # process, as each has to import torch
    done = cli("run", "space.py", *one)
    assert done.status == 0, done
    assert "[4/4] trial 3 completed" in elsewhere()
    study = load_study("sqlite:///studies.db", "space")
    configs: list[dict[str, Any]] = [trial.user_attrs["config"] for trial in study.trials]
    for config in configs:
        assert {name: config[name] for name in FIXED} == FIXED
        assert (config["width"] in (16, 32, 48, 64), config["p"] in (float(np.float32(0.1)), 0.5)) == (True, True)
        assert config["rate"] in (0.001, 0.01, 0.1)
    best = yaml.safe_load(Path("reports/space.best.yaml").read_text())
    assert best["config"] == configs[study.best_trial.number]
    assert "np." not in Path("reports/space.md").read_text()
    confirmed = cli("confirm", "space", "--engine", "tune", "--top", 1, "--seeds", 2, *one)
    assert confirmed.status == 0, confirmed
    trials = load_study("sqlite:///studies.db", "space.confirm").trials
    assert [trial.value for trial in trials] == [study.best_value + 0.01, study.best_value + 0.02]
    assert "of score after the last epoch" in Path("reports/space.md").read_text()
    assert "all of that is confirmed already" in cli("confirm", "space", "--top", 1, "--seeds", 1).out
