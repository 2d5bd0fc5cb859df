"""A space and a train() that stand in no file: kept for other processes, refused where that cannot be."""

from __future__ import annotations

import linecache
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from search.errors import SearchError
from search.space import cells
from search.space.file import load_space, load_train

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


def test_what_cannot_be_handed_on_is_refused_by_name(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:

        def train(config: dict[str, Any]) -> Any:
            yield {"score": log.write("x")}

        said = r"^train=: it cannot be handed to a training process \(.* files .*\); open or build"
        with pytest.raises(SearchError, match=said):
            cells.write(tmp_path / "own.cells", {"train": train})
    assert not (tmp_path / "own.cells").exists()


def test_a_broken_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "own.cells").write_bytes(b"x")
    with pytest.raises(SearchError, match=r"own\.cells: UnpicklingError: .*; call search\.run again$"):
        cells.read(tmp_path / "own.cells")
