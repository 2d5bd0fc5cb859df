"""A study knows which data its numbers are of: real folders, real runs."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli
from PIL import Image

from search.data.identity import Identity
from search.data.registry import open_source
from search.study import data
from search.study.attributes import StudyRecord, TrialRecord
from search.study.study import load_study

URL = "sqlite:///studies.db"
SPACE = """
from search import Float, SearchSpace
space = SearchSpace(dataset="imagefolder:pets", model="mlp", hidden=(4,), epochs=1, lr=Float(0.01, 0.1),
                    batch_size=8, step_size=5, gamma=0.1)
"""
RUN = ("run", "space.py", "--engine", "inline", "--data-root", "data", "--trials")


def picture(name: str, seed: int) -> None:
    path = Path("data", "pets", f"{name}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)


@pytest.fixture(autouse=True)
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for i in range(20):
        picture(f"{'cat' if i % 2 else 'dog'}/{i}", i)


def test_other_data_are_refused_with_what_differs_and_the_way_out(
    cli: Cli, once: Cli, write: Callable[[str, str], Path]
) -> None:
    write("space.py", SPACE)
    assert once(*RUN, 1).status == 0
    study = load_study(URL, "space")
    stored = Identity.from_json(StudyRecord(study).data["imagefolder:pets"])
    assert stored is not None
    assert (stored.classes, stored.images) == (("cat", "dog"), {"train": 12, "val": 4, "test": 4})
    assert TrialRecord(study.trials[0]).data == stored.fingerprint

    shutil.move("data/pets", "data/moved")  # the same pictures, copied: other times
    shutil.copytree("data/moved", "data/pets", copy_function=shutil.copyfile)
    assert cli(*RUN, 2).status == 0

    for i in range(20, 26):
        picture(f"fox/{i}", i)
    Path("data/pets/dog/0.png").unlink()
    refused = cli(*RUN, 3)
    assert refused.status == 2
    assert (
        "made with other data of the name imagefolder:pets: the class 'fox' is new, train had 12 images" in refused.err
    )
    assert "--name new --from space begins a new one with its best" in refused.err
    assert len(load_study(URL, "space").trials) == 2
    confirmed = cli("confirm", "space", "--engine", "inline", "--data-root", "data", "--seeds", 1, "--top", 1)
    assert confirmed.status == 2
    assert "made with other data" in confirmed.err
    trained = cli("train", "reports/space.best.yaml", "--data-root", "data")
    assert trained.status == 2
    assert "the trial saw other data" in trained.err
    assert cli(*RUN, 1, "--name", "new", "--from", "space").status == 0
    compared = cli("compare", "space", "new")
    assert "not tested: other data" in compared.out


def test_a_picture_in_place_of_another_is_other_data(cli: Cli, once: Cli, write: Callable[[str, str], Path]) -> None:
    write("space.py", SPACE)
    assert once(*RUN, 1).status == 0
    for i in (1, 3, 5, 7, 9):  # the test split has two of the ten cats
        picture(f"cat/{i}", 100 + i)
    refused = cli(*RUN, 2)
    assert refused.status == 2
    assert (
        "the classes and their number are the same, the pictures, their names or their classes are not" in refused.err
    )


def test_another_test_split_is_other_data_and_is_not_evaluated(
    cli: Cli, once: Cli, write: Callable[[str, str], Path]
) -> None:
    write("space.py", SPACE)
    assert once(*RUN, 1).status == 0
    record, place = StudyRecord(load_study(URL, "space")), open_source("imagefolder:pets", Path("data"))
    tested = place.splits()[1]["test"][0].name
    picture(tested.removesuffix(".png"), 100)
    refused = cli(*RUN, 2)
    assert refused.status == 2
    assert "other data of the name imagefolder:pets: the pictures of the test split are others" in refused.err
    trained = cli("train", "reports/space.best.yaml", "--data-root", "data")
    assert trained.status == 0
    assert "not evaluated: the test split has other pictures than the study's" in trained.out
    assert "test accuracy" not in trained.out
    record.data = {name: {k: v for k, v in stored.items() if k != "test"} for name, stored in record.data.items()}
    assert cli(*RUN, 2).status == 0  # an older version knew nothing of the test split
    assert record.data["imagefolder:pets"]["test"]


def test_a_study_from_before_goes_on_and_says_that_its_data_are_not_known(
    cli: Cli, write: Callable[[str, str], Path]
) -> None:
    write("space.py", SPACE)
    assert cli(*RUN, 2).status == 0
    study = load_study(URL, "space")
    StudyRecord(study).data = None  # as a version before it was kept
    assert data.settle(study, data.Found()) == []
    with closing(sqlite3.connect("studies.db")) as connection:
        connection.execute("DELETE FROM trial_user_attributes WHERE key = 'data'")
        connection.commit()
    done = cli(*RUN, 3)
    assert done.status == 0
    assert "of 2 earlier trials it is not known which data of the name imagefolder:pets they saw" in done.out
    assert "not known" not in cli(*RUN, 4).out.split("report ")[0].split("|")[0]
    page = Path("reports/space.md").read_text()
    assert "are not tested: of other images than trial" in page or "Ties are not tested" in page


def test_what_differs() -> None:
    old = Identity("a", ("cat", "dog", "fox", "owl"), {"train": 1200, "val": 3})
    new = Identity("b", ("cow",), {"train": 1300, "val": 3})
    assert data.difference(old, new) == (
        "the classes 'cat', 'dog', 'fox' and 1 more are gone, the class 'cow' is new, "
        "train had 1,200 images and has 1,300"
    )
    assert "in another order" in data.difference(old, old._replace(classes=old.classes[::-1]))
