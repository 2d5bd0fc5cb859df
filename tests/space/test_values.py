"""Settings of every kind in the record, and their one text."""

from __future__ import annotations

import datetime
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import yaml
from conftest import Cli
from optuna.trial import TrialState
from pydantic import BaseModel
from refusals import OWN, refused

from search import Choice, Float, SearchSpace
from search.errors import SearchError
from search.space.file import load_space
from search.space.values import plain, text, unfit
from search.study.start import queue
from search.study.study import load_study

Write = Callable[[str, str], Path]
pytestmark = pytest.mark.usefixtures("sys_path")


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    BIG = 3


class Word(StrEnum):
    YES = "yes"


class Made(Enum):
    OF = object()


@dataclass
class Options:
    lr: float
    sizes: tuple[int, ...] = (1, 2)


class Pair(NamedTuple):
    a: int
    b: str


class Model(BaseModel):
    path: Path = Path("x/y")


PLAIN: list[tuple[Any, Any]] = [
    # a value, and what the record keeps
    (None, None),
    (True, True),
    ((1, 2), [1, 2]),
    ({"b", "a", "c"}, ["a", "b", "c"]),
    (frozenset({10, 9, 2.5}), [2.5, 9, 10]),
    ({("b", 1), ("a", 2)}, [["a", 2], ["b", 1]]),
    ({1, "a", None}, [1, None, "a"]),
    ({"a": {"b": {2, 1}}}, {"a": {"b": [1, 2]}}),
    (range(3), [0, 1, 2]),
    (np.int64(16), 16),
    (np.float64(0.1), 0.1),
    (np.bool_(True), True),
    (np.str_("a"), "a"),
    (np.longdouble(0.5), 0.5),
    (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
    (np.dtype("float32"), "float32"),
    (torch.float32, "float32"),
    (torch.device("cpu"), "cpu"),
    (torch.tensor([1.0]), [1.0]),
    (torch.Size([1, 2]), [1, 2]),
    (Path("a/b"), "a/b"),
    (Decimal("0.1"), "0.1"),
    (datetime.date(2026, 1, 2), "2026-01-02"),
    (Colour.RED, "red"),
    (Size.BIG, 3),
    (Word.YES, "yes"),
    (Made.OF, "OF"),
    (Options(0.1), {"lr": 0.1, "sizes": [1, 2]}),
    (Pair(1, "x"), [1, "x"]),
    (Model(), {"path": "x/y"}),
    (torch.optim.Adam, "torch.optim.adam:Adam"),
    (math.sqrt, "math:sqrt"),
]


@pytest.mark.parametrize(
    ("value", "kept"), PLAIN, ids=[f"{type(value).__name__} {number}" for number, (value, _) in enumerate(PLAIN)]
)
def test_a_value_is_kept_plain_and_loads_again(value: Any, kept: Any) -> None:
    assert plain(value) == kept
    assert type(plain(value)) is type(kept)
    assert json.loads(json.dumps(kept)) == yaml.safe_load(yaml.safe_dump(kept)) == kept
    assert plain(kept) == kept
    assert unfit(value) == ""


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (object(), "an object has no plain value that the record could keep"),
        (lambda: 1, "a function has no plain value that the record could keep"),
        ({1: 2}, "the record keeps a dict whose keys are texts, and 1 is none"),
        (1j, "a complex has no plain value that the record could keep"),
        (b"a", "a bytes has no plain value that the record could keep"),
        ([{"a": object()}], "an object has no plain value that the record could keep"),
    ],
)
def test_what_has_no_plain_value_is_said(value: Any, why: str) -> None:
    assert unfit(value) == why


TEXT = """
from search.space.values import text
from search import Choice, Float
from enum import Enum
class A(Enum):
    B = {"x", "y", "z"}
print(text(Choice(a={"d", "c", "b", "a"}, b=dict(f=frozenset({"q", "r", "s"}), x=Float(0, 1)), c=A.B, d=(1,))))
"""


def test_a_text_is_the_same_in_every_process() -> None:
    texts = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", TEXT], env=environment, capture_output=True, text=True, check=True)
        texts.add(done.stdout.strip())
    (only,) = texts
    branch = f"{{'f': {{'q', 'r', 's'}}, 'x': {Float(0, 1)!r}}}"
    assert only == f"Choice(a={{'a', 'b', 'c', 'd'}}, b={branch}, c=['x', 'y', 'z'], d=(1,))"
    assert text(Choice(1, "a")) == repr(Choice(1, "a"))  # what studies of earlier versions have


def test_a_study_of_an_earlier_version_is_gone_on_with(write: Write) -> None:
    """It has the text of NumPy's own."""
    path = write("s.py", OWN.replace("epochs=3", "n=__import__('numpy').int64(3), p=__import__('pathlib').Path('a')"))
    space = load_space(path)
    assert space.describe()["n"] == "3"
    x = repr(Float(0, 1))
    assert space.fits({"n": "np.int64(3)", "p": "PosixPath('a')", "x": x})
    assert space.fits(space.describe())
    assert not space.fits({"n": "np.int64(4)", "p": "PosixPath('a')", "x": x})


SPACE = """
from pathlib import Path
import numpy as np
from search import Choice, Float, SearchSpace
space = SearchSpace(
    x=Float(0, 1), classes={"cat", "dog", "bird", "fish"}, width=Choice(*np.arange(16, 33, 16)), batch=np.int64(32),
    where=Path("a/b"), p=Choice(np.float32(0.5), np.float32(0.25)),
)
metric, trials = "score", 2
def train(config):
    assert isinstance(config["classes"], set) and isinstance(config["where"], Path), config
    yield {"score": config["x"] * float(config["width"])}
"""


@pytest.mark.whole
def test_a_search_with_such_settings_is_resumed_and_exported(cli: Cli, write: Write) -> None:
    write("s.py", SPACE)
    assert cli("run", "s.py", "--engine", "inline").status == 0
    study = load_study("sqlite:///studies.db", "s")
    study.set_user_attr("space", study.user_attrs["space"] | {"batch": "32"})
    other = [sys.executable, "-c", "from search.cli import main; main()", "run", "s.py", "--engine", "inline"]
    environment = os.environ | {"PYTHONHASHSEED": "77"}  # a set has another order there
    done = subprocess.run([*other, "--trials", "3"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    trials = load_study("sqlite:///studies.db", "s").get_trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3
    config = yaml.safe_load(Path("reports/s.best.yaml").read_text())["config"]
    assert config["classes"] == ["bird", "cat", "dog", "fish"]
    assert (config["batch"], config["where"]) == (32, "a/b")
    assert config["width"] in (16, 32)
    assert config["p"] in (0.5, 0.25)
    space = load_space("s.py")
    points = queue.best_points("sqlite:///studies.db", "s", "t", space)
    assert [params["width"] for _, params in points.found] == [
        str(trials[number].user_attrs["config"]["width"]) for number, _ in points.found
    ]


def test_what_cannot_be_kept_is_refused_before_the_first_trial(cli: Cli, write: Write) -> None:
    write("s.py", OWN.replace("epochs=3", "weights={0: 1.0, 1: 2.0}"))
    assert refused(cli, "run", "s.py", "--engine", "inline") == (
        "search: s.py:2: weights={0: 1.0, 1: 2.0}: the record keeps a dict whose keys are texts, and 0 is none; "
        "name it by a text, and make it in train()"
    )


def test_an_option_is_found_by_what_the_record_kept() -> None:
    choice = Choice(red=Colour.RED, adam=torch.optim.Adam, both={"a", "b"})
    assert choice.labels("k", {"k": "red"}) == ["red"]
    assert choice.labels("k", {"k": "torch.optim.adam:Adam"}) == ["adam"]
    assert choice.labels("k", {"k": ["a", "b"]}) == ["both"]
    assert SearchSpace(k=choice).describe()["k"].startswith("Choice(red='red', adam='torch.optim.adam:Adam', both=")


def test_an_integer_without_a_text_is_refused(write: Callable[[str, str], Path]) -> None:
    text = "from search import Float, SearchSpace\nspace = SearchSpace(x=Float(0, 1), n=10**{})\nmetric = 'score'\n"
    train = "def train(config):\n    yield {'score': config['x']}\n"
    assert load_space(write("s.py", text.format(4000) + train)).describe()["n"] == str(10**4000)
    with pytest.raises(SearchError, match=r"s\.py:2: n: an integer of so many digits has no text; name it by a text"):
        load_space(write("s.py", text.format(5000) + train))
