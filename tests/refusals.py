"""What every bad input must come to: one line that names the place, an exit status, and nothing else."""

from __future__ import annotations

from pathlib import Path

from conftest import Cli


def refused(cli: Cli, *words: object, status: int = 2) -> str:
    """The one line with which the command `words` is refused; it must leave no file in the working directory."""
    before = files()
    result = cli(*words)
    assert result.status == status, result
    assert result.out == ""
    (line,) = result.err.splitlines()
    assert line.startswith("search: ")
    assert line.isprintable()
    assert "Traceback" not in line
    assert files() == before
    return line


def files() -> dict[str, int]:
    """The files under the working directory, with their sizes; 0 for a database, which a reader may tidy up."""
    found = (path for path in Path.cwd().rglob("*") if "__pycache__" not in path.parts)
    return {
        str(path): 0 if ".db" in path.name or path.is_dir() else path.stat().st_size
        for path in found
        if not path.name.endswith(("-wal", "-shm"))
    }


GOOD = """\
from search import ASHA, Choice, Float, Int, SearchSpace

space = SearchSpace(
    model="cnn",
    dataset="digits",
    epochs=2,
    lr=Float(1e-3, 1e-1, log=True),
    step_size=Int(1, 3),
    gamma=Choice(0.1, 0.5),
)
"""
"""A space file with nothing wrong in it."""
OWN = """\
from search import Float, SearchSpace
space = SearchSpace(x=Float(0, 1), epochs=3)
metric = "score"
def train(config):
    yield {"score": config["x"]}
"""
"""One with a train of its own."""
