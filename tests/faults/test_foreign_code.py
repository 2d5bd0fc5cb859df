"""Python that a file of somebody else's names: it runs only where a run here has used it, or the user names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cli
from PIL import Image

Write = Callable[[str, str], Path]
NET = """
from pathlib import Path
from torch import nn
Path("ran").touch()
def net(num_classes, channels):
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, num_classes))
"""
SPACE = """
from search import Float, SearchSpace
space = SearchSpace(model="net.py:net", dataset="digits", epochs=1, subset=100, lr=Float(0.01, 0.1), step_size=1,
    gamma=1.0)
trials = 1
"""


@pytest.fixture
def ours(cli: Cli, write: Write) -> Path:
    """A folder in which a run has used net.py, and the best config of that run."""
    write("net.py", NET)
    write("own.py", SPACE)
    assert cli("run", "own.py", "--engine", "inline").status == 0
    return Path("reports/own.best.yaml")


def test_a_yaml_of_somebody_elses_runs_no_code(cli: Cli, ours: Path, tmp_path: Path) -> None:
    assert cli("train", ours).status == 0  # which a run here has used
    Path("ran").unlink()
    Path("runs/own/space/code.json").unlink()  # as in a folder of somebody else's
    status, out, err = cli("train", ours)
    file = tmp_path / "net.py"
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err == (
        f"search: {ours} names code that would run as you, {file}, and no run in this folder has used it: look at it, "
        f"and name it with --code {file}\n"
    )
    assert not Path("ran").exists()
    assert cli("train", ours, "--code", "net.py").status == 0
    assert Path("ran").exists()


def test_nothing_that_a_model_file_names_runs_unasked(cli: Cli, ours: Path) -> None:
    from search.commands.steps.export_model import write_model  # noqa: F401 - torch is imported before the code counts

    Path("runs/own/space/code.json").unlink()
    Path("ran").unlink()
    weights = "runs/own/weights/0.safetensors"
    Image.new("L", (8, 8)).save("a.png")
    for words in (
        ("predict", weights, "a.png"),
        ("export", "own", "--model", "there"),
        ("export", "own", "--onnx", "own.onnx"),
        ("export", "own", "--onnx", "own.onnx", "--int8", "dynamic"),
    ):
        status, _, err = cli(*words)
        assert (status, err.count("\n")) == (2, 1), err
        assert not Path("ran").exists(), words
    assert cli("export", "own", "--model", "there", "--code", "net.py").status == 0
    assert Path("there/net.py").is_file()
