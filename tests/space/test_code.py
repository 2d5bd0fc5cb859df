"""Which code a train() is: equal for what means the same, another for what does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from search.space.code import code_of

SPACE = '''
"""A space."""
import math
import helpers
from search import Float, SearchSpace

RATE = 2.0
space = SearchSpace(x=Float(0.0, 1.0))
trials = 8
metric = "score"

def train(config):
    """Train."""
    from parts.losses import loss
    yield {"score": loss(config["x"]) * RATE}  # one
'''
FILES = {
    "space.py": SPACE,
    "helpers.py": "import deep\nHELP = 1\n",
    "deep.py": "DEEP = 1\n",
    "parts/__init__.py": "",
    "parts/losses.py": "from . import more\ndef loss(x):\n    return x\n",
    "parts/more.py": "MORE = 1\n",
    "other.py": "OTHER = 1\n",
}


@pytest.fixture
def code(write: Callable[[str, str], Path]) -> Callable[..., str]:
    def of(name: str = "space.py", old: str = "", new: str = "") -> str:
        for file, text in FILES.items():
            assert file != name or old in text
            write(file, text.replace(old, new) if file == name and old else text)
        return code_of(Path("space.py"))

    return of


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # one", "  # two\n\n"),
        ('"""Train."""', '"""Train, at length.\n\n    And more."""'),
        ('    """Train."""\n', ""),
        ('"score": loss', "'score': loss"),
        ("trials = 8", "trials = 80"),
        ("Float(0.0, 1.0)", "Float(0.0, 2.0)"),
        ('metric = "score"', 'metric = "loss"'),
        ('metric = "score"', 'metric = "score"\ncallbacks = [print]'),
    ],
)
def test_what_means_the_same_is_the_same_code(code: Callable[..., str], old: str, new: str) -> None:
    assert code(old=old, new=new) == code()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("space.py", "RATE = 2.0", "RATE = 3.0"),
        ("space.py", "* RATE", "/ RATE"),
        ("space.py", "import math", "import os"),
        ("space.py", "yield {", "trials\n    yield {"),  # and so it counts
        ("helpers.py", "HELP = 1", "HELP = 2"),
        ("deep.py", "DEEP = 1", "DEEP = 2"),
        ("parts/__init__.py", "", "X = 1"),
        ("parts/losses.py", "return x", "return -x"),
        ("parts/more.py", "MORE = 1", "MORE = 2"),
        ("deep.py", "DEEP = 1", "DEEP = ("),
    ],
)
def test_what_train_may_run_counts(code: Callable[..., str], file: str, old: str, new: str) -> None:
    before = code()
    if not old:
        Path(file).write_text(new)
        assert code_of(Path("space.py")) != before
    else:
        assert code(file, old, new) != before


def test_what_is_not_imported_and_where_the_folder_lies_do_not_count(code: Callable[..., str], tmp_path: Path) -> None:
    before = code()
    assert code("other.py", "1", "2") == before
    Path("search").mkdir()  # a space file in a checkout of this package
    Path("search/__init__.py").write_text("SEARCH = 1\n")
    assert code() == before
    (tmp_path / "elsewhere").mkdir()
    for file, text in FILES.items():
        path = tmp_path / "elsewhere" / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert code_of(tmp_path / "elsewhere" / "space.py") == before
