"""A space and a train() that stand in no file: kept for other processes, refused where that cannot be."""

from __future__ import annotations

import functools
import inspect
import linecache
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from optuna.samplers import GridSampler

from search.errors import SearchError
from search.space import cells
from search.space.file import load_space, load_train
from search.space.functions import code_of_function
from search.space.space import Float, SearchSpace
from search.study.sampler import check_chosen

SCRIPT = """
import linecache, sys
from pathlib import Path
from search import Float, SearchSpace
from search.space import cells
sys.path.append(FOLDER)
import helper

TEXT = '''
def train(config):
    yield {"score": helper.double(config["x"]) + OFFSET}
    raise ValueError("too far")
'''
OFFSET, FILE = 1, "/tmp/ipykernel_1/2.py"
linecache.cache[FILE] = (len(TEXT), None, TEXT.splitlines(keepends=True), FILE)
exec(compile(TEXT, FILE, "exec"))
cells.write(Path("own.cells"), {"space": SearchSpace(x=Float(0, 1)), "train": train, "metric": "score"})
"""


def test_another_process_has_all_that_train_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "helper.py").write_text("def double(x):\n    return 2 * x\n")
    script = SCRIPT.replace("FOLDER", repr(str(tmp_path / "modules")))
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    space = load_space(tmp_path / "own.cells")
    assert (space.name, space.metric, space.direction) == ("own", "score", "maximize")
    train = load_train(tmp_path / "own.cells")
    assert train is not None
    epochs = train({"x": 3})
    assert next(epochs) == {"score": 7}
    with pytest.raises(ValueError, match="too far") as raised:
        next(epochs)
    file = raised.traceback[-1].frame.code.raw.co_filename
    assert linecache.getline(file, 4).strip() == 'raise ValueError("too far")'


def test_this_process_gets_its_own_objects(tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> Any:
        yield config

    cells.write(tmp_path / "own.cells", {"train": train})
    assert load_train(tmp_path / "own.cells") is train


def cached(factor: int) -> Any:
    """A train() that uses what `functools.lru_cache` makes of a function and of a method."""

    @functools.lru_cache(maxsize=3)
    def data(n: int) -> int:
        return n * 2 if factor else n * 100

    class Model:
        @functools.cache  # noqa: B019
        def size(self) -> int:
            return 5

    def train(config: dict[str, Any]) -> Any:
        yield {"score": data(config["x"]) + Model().size()}

    return train


def test_what_is_cached_is_handed_on_by_its_function(tmp_path: Path) -> None:
    cells.write(tmp_path / "own.cells", {"train": cached(2)})
    cells._here.clear()  # as another process has it
    there = load_train(tmp_path / "own.cells")
    assert there is not None
    assert next(iter(there({"x": 3}))) == {"score": 11}
    data = inspect.getclosurevars(there).nonlocals["data"]
    assert (data.cache_parameters()["maxsize"], data.cache_info().misses) == (3, 1)


def test_the_function_behind_a_cache_is_code_of_train(tmp_path: Path) -> None:
    codes = [code_of_function(cached(factor), tmp_path) for factor in (0, 1, 1)]
    assert codes[0] != codes[1] == codes[2]


def test_what_cannot_be_handed_on_is_refused_by_name(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:

        def train(config: dict[str, Any]) -> Any:
            yield {"score": log.write("x")}

        said = (
            r"^train=: it uses 'log' \(line \d+: yield {\"score\": log.write\(\"x\"\)}\), which cannot be handed "
            r"to a training process \(.* files .*\); open or build it inside of train\(\)$"
        )
        with pytest.raises(SearchError, match=said):
            cells.write(tmp_path / "own.cells", {"train": train})
    assert not (tmp_path / "own.cells").exists()


class _Holds:
    def __init__(self, log: Any) -> None:
        self.log = log

    def __call__(self, config: dict[str, Any]) -> Any:
        yield {"score": 1.0}


def test_the_innermost_of_what_a_function_uses_is_named(tmp_path: Path) -> None:
    def names(log: Any) -> dict[str, Any]:
        def helper() -> None:
            table["a"].append(log)

        def through(config: dict[str, Any]) -> Any:
            helper()
            yield {}

        def nested(config: dict[str, Any]) -> Any:
            yield [table for _ in range(2)]

        def given(config: dict[str, Any], file: Any = log) -> Any:
            yield file

        def plain_train(bias: Any, config: dict[str, Any]) -> Any:
            yield bias

        table: dict[str, list[Any]] = {"a": [log]}
        return {
            "'table' (": through,
            "'table' (line": nested,
            "'file' (": given,
            "'argument 1', which": partial(plain_train, log),
            "'_Holds.log', which": _Holds(log),
            "'_Holds.log', ": _Holds(log).__call__,
        }

    with (tmp_path / "log").open("w") as log:
        for said, train in names(log).items():
            with pytest.raises(SearchError, match=f"^train=: it uses {re.escape(said)}"):
                cells.write(tmp_path / "own.cells", {"train": train})


def test_what_is_wrong_with_a_parameter_names_the_parameter(tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> Any:
        yield {"val": 1.0}

    def none() -> None: ...

    sound: dict[str, Any] = {"space": SearchSpace(x=Float(0, 1)), "train": train, "metric": "score"}
    for wrong, said in (
        (
            {"metric": "val"},
            "metric='val' does not tell whether more or less of it is better: "
            'write direction="maximize" or direction="minimize"',
        ),
        ({"metric": ("score", "score")}, "metric=('score', 'score'); it must be of type str"),
        ({"metric": "a\n"}, "metric=: the metric"),
        ({"direction": "up"}, "direction='up'; it must be 'minimize' or 'maximize'"),
        ({"direction": ("maximize",) * 2}, "direction=('maximize', 'maximize'); it must have one for each"),
        ({"sampler": 3}, "sampler=3; it must be of type BaseSampler"),
        ({"callbacks": 3}, "callbacks=3; it must be a list of functions of a study and a trial"),
        ({"train": 3}, "train=: train is a int"),
        ({"train": none}, "train=: train() must take one argument by position"),
        ({"space": 3}, "space=: space is a int"),
        ({"space": none}, "space=: space() must take one argument by position"),
        ({"space": SearchSpace(x=Float(0, 1), y={"a": Float(0, 1)})}, "space=: y: "),
        ({"sampler": GridSampler({"x": [7.0]})}, "sampler=: x = 7.0 is not from 0 to 1"),
        ({"sampler": GridSampler({"z": [7.0]})}, "sampler=: the grid has no values for 'x'"),
    ):
        cells.write(tmp_path / "own.cells", {**sound, **wrong})
        with pytest.raises(SearchError, match=f"^{re.escape(said)}"):
            check_chosen(load_space(tmp_path / "own.cells"))


def test_a_broken_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "own.cells").write_bytes(b"x")
    with pytest.raises(SearchError, match=r"own\.cells: UnpicklingError: .*; call search\.run again$"):
        cells.read(tmp_path / "own.cells")
