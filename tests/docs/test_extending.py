"""The recipes of docs/extending.md, followed in a copy of search/: each new thing works."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPO
from pages import PAGES, blocks

pytestmark = pytest.mark.whole

SPACE = """
from search import Float, SearchSpace
space = SearchSpace(model="linear", dataset="stripes", epochs=4, schedule="linear", lr=Float(0.01, 0.1))
metric, direction, trials = "val_sure", "maximize", 2
"""
DONE = (
    "run space.py --engine inline",
    "train reports/space.best.yaml",
    "report space --json",
    "--help",
    "value space --digits 2",
)
COMMANDS = """
import sys
from search.cli import main
for command in sys.argv[1:]:
    print(end="\\0")
    sys.argv[1:] = command.split()
    try:
        main()
    except SystemExit as end:
        assert not end.code, (command, end.code)
"""


class House:
    """A copy of search/ with all recipes followed, and a folder to run it in."""

    def __init__(self, root: Path, fonts: Path) -> None:
        """`fonts`: where matplotlib keeps its list of them, which it takes a second to make."""
        self.root, self.said, self.fonts = root, dict[str, str](), fonts
        half_written = shutil.ignore_patterns("*.pyc.*")
        shutil.copytree(REPO / "search", root / "search", ignore=half_written)  # what is compiled mostly stays valid
        for block in blocks(PAGES["docs/extending.md"], "python"):
            first, _, code = block.partition("\n")
            path, _, where = first.removeprefix("# ").partition(", ")
            self._follow(root / path, where, code)
        (root / "space.py").write_text(SPACE, encoding="utf-8")

    def _follow(self, file: Path, where: str, code: str) -> None:
        """Do what the first line of a block asks for; where it cannot be done, the page is wrong."""
        if not where:
            assert not file.exists(), file
            file.write_text(code, encoding="utf-8")
            return
        text = file.read_text(encoding="utf-8")
        if where == "below":
            file.write_text(f"{text}\n\n{code}", encoding="utf-8")
            return
        *imports, code = code.strip().splitlines()
        lines = "".join(line + "\n" for line in imports if line)
        text = re.sub(r"^(?=from search)", lines, text, count=1, flags=re.MULTILINE)
        pattern = rf"^{where}\b.*?= [\[({{]"
        found = list(re.finditer(pattern, text, re.MULTILINE))
        assert len(found) == 1, (file, where)
        end = found[0].end()
        file.write_text(text[:end] + code + text[end:], encoding="utf-8")

    def run(self, *commands: str) -> list[str]:
        """What `search` of the copy prints for each of the commands, in one process."""
        done = subprocess.run(
            [sys.executable, "-c", COMMANDS, *commands],
            cwd=self.root,
            env=os.environ
            | {"PYTHONPATH": str(self.root), "XDG_CACHE_HOME": str(self.root / "cache")}
            | {"MPLCONFIGDIR": str(self.fonts)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done
        return done.stdout.split("\0")[1:]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, cache_home: Path) -> House:
    made = House(tmp_path_factory.mktemp("house"), cache_home / "matplotlib")
    made.said = dict(zip(DONE, made.run(*DONE), strict=True))
    return made


def test_the_model_data_set_and_schedule_train(house: House) -> None:
    best = (house.root / "reports" / "space.best.yaml").read_text(encoding="utf-8")
    assert {"model: linear", "dataset: stripes", "schedule: linear"} <= {line.strip() for line in best.splitlines()}
    lines = house.said["train reports/space.best.yaml"].splitlines()
    rates = [float(found[1]) for line in lines if (found := re.search(r"^epoch .* lr ([\d.e-]+) ", line))]
    assert rates == pytest.approx([rates[0] * left / 4 for left in (4, 3, 2, 1)], rel=0.01)


def test_the_metric_is_searched_for(house: House) -> None:
    assert "Best val_sure: **0." in (house.root / "reports" / "space.md").read_text(encoding="utf-8")


def test_the_section_is_on_the_page_and_in_the_data(house: House) -> None:
    slowest = json.loads(house.said["report space --json"])["slowest"]
    assert slowest in (0, 1)
    assert f"The slowest trial is {slowest}." in (house.root / "reports" / "space.md").read_text(encoding="utf-8")


def test_the_verb_is_a_command_with_its_option(house: House) -> None:
    assert "value" in house.said["--help"]
    assert re.fullmatch(r"0\.\d\d\n", house.said["value space --digits 2"])


def test_each_recipe_is_one_piece_of_code_and_one_line() -> None:
    page = PAGES["docs/extending.md"]
    for title, *recipe in (part.split("```python\n") for part in page.split("\n## ")[1:]):
        assert len(recipe) in (0, 2), title
        if recipe:
            lines = recipe[1].partition("```")[0].splitlines()
            assert len([line for line in lines if not line.startswith(("#", "from "))]) == 1, title
