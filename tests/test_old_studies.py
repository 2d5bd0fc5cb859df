"""A study that commit 184b461 wrote reports, exports and goes on as it did there (tests/fixtures)."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPO, Cli

from search.config import TrainConfig

FIXTURES = REPO / "tests" / "fixtures"


@pytest.fixture(autouse=True)
def old(tmp_path: Path) -> None:
    """The studies `fixture` (10 trials, confirmed), and `stopped`, whose first trial was interrupted."""
    for name in ("fixture.py", "hand.csv"):
        shutil.copy(FIXTURES / name, tmp_path)
    with sqlite3.connect("studies.db") as database:
        database.executescript((FIXTURES / "study.sql").read_text())


def within(old: Any, new: Any, where: str = "") -> list[str]:
    """Where `new` lacks, or has otherwise, what `old` has; it may have more keys."""
    if isinstance(old, dict):
        return [line for key in old for line in within(old[key], new.get(key, "missing"), f"{where}.{key}")]
    if isinstance(old, list) and len(old) == len(new):
        return [
            line
            for i, (one, two) in enumerate(zip(old, new, strict=True))
            for line in within(one, two, f"{where}[{i}]")
        ]
    return [] if old == new else [f"{where}: {old!r}, now {new!r}"]


def test_the_data_of_its_report(cli: Cli) -> None:
    old = json.loads((FIXTURES / "report.json").read_text())
    done = cli("report", "fixture", "--json")
    new = json.loads(done.out)
    assert done.status == 0
    assert len(old.pop("comments")) == len(new["comments"])  # prose, which may be put better
    assert within(old, new) == []


def test_the_rows_of_its_report(cli: Cli) -> None:
    old = list(csv.DictReader(io.StringIO((FIXTURES / "report.csv").read_text())))
    new = list(csv.DictReader(io.StringIO(cli("report", "fixture", "--csv").out)))
    assert within(old, new) == []


def test_its_best_config(cli: Cli) -> None:
    assert cli("export", "fixture").status == 0
    old, new = (yaml.safe_load(p.read_text()) for p in (FIXTURES / "best.yaml", Path("reports/fixture.best.yaml")))
    assert old.pop("versions").keys() == new.pop("versions").keys()
    added = {name: value for name, value in new["config"].items() if name not in old["config"]}
    assert added == {name: TrainConfig.model_fields[name].default for name in added}  # settings of later versions
    assert {name: value for name, value in new["config"].items() if name not in added} == old["config"]
    assert {**old, "config": None} == {**new, "config": None}


def test_it_goes_on(cli: Cli) -> None:
    done = cli("run", "fixture.py", "--trials", 11, "--engine", "inline")
    assert done.status == 0, done.err
    assert "[11/11] trial 10 " in done.out
    assert "best 0.9488 (trial 8)" in done.out


def test_an_interrupted_trial_of_it_goes_on(cli: Cli) -> None:
    done = cli("run", "fixture.py", "--name", "stopped", "--trials", 1, "--set", "epochs=12", "--engine", "inline")
    assert done.status == 0, done.err
    assert "[1/1] trial 0 completed: " in done.out


def test_the_page_of_its_seeds_has_no_pictures(cli: Cli) -> None:
    assert cli("report", "fixture.confirm").status == 0
    assert "![" not in Path("reports/fixture.confirm.md").read_text()
    assert not Path("reports/fixture.confirm_files").exists()
