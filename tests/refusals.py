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

LONG = "x" * 300
NAME = "letters, digits, spaces and . _ + - only, at most 100 (--name)"

Cases = list[tuple[str, str]]
NAMES: Cases = [
    ("", f"study name '': {NAME}"),
    ("../up", f"study name '../up': {NAME}"),
    ("a/b", NAME),
    ("/etc/passwd", NAME),
    ("a\\b", NAME),
    (".hidden", NAME),
    ("-lead", NAME),
    (LONG, NAME),
    ("🙂", NAME),
    ("two\nlines", r"study name 'two\nlines'"),
    ("\x1b[31mred", r"study name '\x1b[31mred'"),
    ("don't", NAME),
    ('say "hi"', NAME),
    ("$(touch pwned)", NAME),
    ("a;b", NAME),
    ("\udcff", r"study name '\udcff'"),
]
NO_STUDY: Cases = [(name, f"no study {name!r} in sqlite:///studies.db") for name in ("none", "../s", "🙂", LONG)]
NO_STUDY += [("S", "no study 'S' in sqlite:///studies.db"), ("a\nb", r"no study 'a\nb'"), ("", "no study ''")]
NO_SPACE: Cases = [
    ("none.py", "none.py: no such space file; here are s.py"),
    ("a\nb.py", r"a\nb.py: no such space file"),
    (".", ".: no such space file"),
    ("studies.db", "studies.db: no such space file"),
    ("", ".: no such space file"),
    (f"{LONG}.py", "File name too long"),
]

ADDRESS: Cases = [(text, "write it as auto or HOST:PORT") for text in ("x", "", "http://head:8265", "head:x", "a b:1")]
ADDRESS += [("ray://head:10001", "`search submit SPACE --address http://HEAD:8265`")]
