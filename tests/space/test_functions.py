"""Which code a function of a notebook is: equal for a cell that is run again, another for what means another."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from search.space import cells
from search.space.code import code_of
from search.space.functions import code_of_function

CELLS = """
import functools
import helper
import numpy as np
from dataclasses import dataclass
RATE, TABLE, NAMES = 2.0, np.arange(3), {"b", "a"}
NESTED = [1, [2, {"a": (3, helper.double)}]]
NESTED.append(NESTED)
@dataclass
class Options:
    lr: float = 0.1
    def twice(self):
        return 2 * self.lr
    @property
    def half(self):
        return self.lr / 2
def scaled(x):
    '''Scale.'''
    return x * RATE  # one
def shown(function):
    @functools.wraps(function)
    def wrapper(config):
        yield from function(config)
    return wrapper
@shown
def train(config):
    import beside
    options = Options()
    yield {"score": scaled(config["x"]) + options.twice() + TABLE.sum() + len(NAMES) + len(NESTED)}
"""
FILES = {"helper.py": "def double(x):\n    return 2 * x\n", "beside.py": "BESIDE = 1\n", "other.py": "OTHER = 1\n"}
_numbers = count()


def run(text: str, names: dict[str, Any]) -> Any:
    """Run a cell as a notebook does; returns its train()."""
    file = f"/tmp/ipykernel_1/{next(_numbers)}.py"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec"), names)  # noqa: S102 - as a notebook does
    return names.get("train")


@pytest.fixture
def code(tmp_path: Path, write: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys.modules["__main__"], "__name__", "__main__")

    def of(old: str = "", new: str = "", file: str = "") -> str:
        for name, text in FILES.items():
            write(name, text.replace(old, new) if name == file else text)
        assert old in (FILES[file] if file else CELLS)
        names = {"__name__": "__main__"}
        return code_of_function(run(CELLS if file or not old else CELLS.replace(old, new), names), tmp_path)

    yield of
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # one", "  # two\n\n"),
        ("    '''Scale.'''\n", ""),
        ("def scaled", "\n\n\ndef scaled"),
        ("import numpy as np", "import os\nimport numpy as np"),
        ('{"b", "a"}', '{"a", "b"}'),
    ],
)
def test_what_means_the_same_is_the_same_code(code: Any, old: str, new: str) -> None:
    assert code() == code() == code(old, new)


@pytest.mark.parametrize(
    ("old", "new", "file"),
    [
        ("RATE, TABLE, NAMES = 2.0", "RATE, TABLE, NAMES = 3.0", ""),
        ("np.arange(3)", "np.arange(4)", ""),
        ('{"b", "a"}', '{"b"}', ""),
        ("x * RATE", "x / RATE", ""),
        ("2 * self.lr", "3 * self.lr", ""),
        ("self.lr / 2", "self.lr / 3", ""),
        ("lr: float = 0.1", "lr: float = 0.2", ""),
        ("(3, helper", "(4, helper", ""),
        ("yield from function", "return function", ""),
        ("2 * x", "3 * x", "helper.py"),
        ("BESIDE = 1", "BESIDE = 2", "beside.py"),
    ],
)
def test_what_train_may_run_counts(code: Any, old: str, new: str, file: str) -> None:
    assert code(old, new, file) != code()


def test_other_kinds_of_functions() -> None:
    class Trainer:
        def __init__(self, rate: float) -> None:
            self.rate = rate

        def __call__(self, config: dict[str, Any]) -> Iterator[dict[str, Any]]:
            yield {"score": config["x"] * self.rate}

        def method(self, config: dict[str, Any]) -> Iterator[dict[str, Any]]:
            yield {"score": config["x"] / self.rate}

    def plain(config: dict[str, Any], rate: float = 1.0) -> Iterator[dict[str, Any]]:
        yield {"score": rate}

    made = [
        *(Trainer(1.0), Trainer(2.0), Trainer(1.0).method, Trainer(2.0).method),
        *(plain, partial(plain, rate=1.0), partial(plain, rate=2.0)),
        *((lambda config: iter([{"score": 1}])), (lambda config: iter([{"score": 2}]))),
    ]
    found = [code_of_function(train, Path.cwd()) for train in made]
    assert len({*found}) == len(made)
    assert [code_of_function(train, Path.cwd()) for train in made] == found


def test_a_kept_function_says_which_code_it_is(tmp_path: Path) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    kept = []
    for name, text in (("a", CELLS), ("b", "\n\n" + CELLS), ("c", CELLS.replace("* RATE", "/ RATE"))):
        text = text.replace("import helper\n", "").replace(", helper.double", "").replace("    import beside\n", "")
        cells.write(tmp_path / f"{name}.cells", {"space": lambda trial: {"x": 1}, "train": run(text, names)})
        kept.append(code_of(tmp_path / f"{name}.cells"))
    cells._here.clear()
    assert [code_of(tmp_path / f"{name}.cells") for name in "abc"] == kept  # as another process reads it
    assert kept[0] == kept[1] != kept[2]
