"""The shares of the workers' time: the frames that they are told by are there, and py-spy is asked for in one line."""

from __future__ import annotations

import ast
import multiprocessing.connection
from pathlib import Path

import pytest
import torch
from conftest import REPO

from benchmarks import sampled

FOLDERS = {
    "search": REPO,
    "torch": Path(torch.__file__).parent.parent,
    "multiprocessing": Path(multiprocessing.__file__).parent.parent,
}


@pytest.mark.parametrize("mark", [sampled._WORKER, *sampled._MARKS.values()])
def test_a_frame_is_where_the_code_is(mark: str) -> None:
    function, _, place = mark.partition(" (")
    path = FOLDERS[place.split("/")[0]] / place
    if not function:
        assert path.is_dir()
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert function.rpartition(".")[2] in names


def test_shares_are_of_the_workers_samples() -> None:
    worker = "main (x.py);serve (search/engine/worker.py:9);train (search/train/trainer.py:5)"
    raw = f"{worker};_epoch (search/train/trainer.py:5);evaluate (search/train/evaluate.py:95) 3\n"
    raw += f"{worker};_epoch (search/train/trainer.py:5) 1\nmain (driver.py:1) 9\n"
    assert sampled.shares(raw) == {"evaluation": 0.75, "between the steps": 0.25}
    assert sampled.sentence(sampled.shares(raw)).startswith("workers, sampled: 100% in training and evaluation")


def test_a_machine_without_py_spy_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(sampled.NoSpy, match=r"py-spy: pip install py-spy$"):
        sampled.run(tmp_path / "space.py", tmp_path)
