"""The documents tell the truth: every command in them runs, and what they quote is what is there."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import REPO, SPACES, Cli
from PIL import Image
from served import served

from search.cli import app
from search.config import TrainConfig

README = (REPO / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (REPO / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGES = {page.name: page.read_text(encoding="utf-8") for page in sorted((REPO / "docs").glob("*.md"))}
PAGES.pop("cluster.md")  # test_cluster_page.py follows it
SERVERS = ("search dashboard", "search up")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> list[str]:
    lines = [line.partition("#")[0].strip() for block in blocks(text, "sh") for line in block.splitlines()]
    return list(dict.fromkeys(line for line in lines if line))


def small_caltech(folder: Path) -> None:
    """Three classes of nine noisy pictures, laid out as Caltech-101 is: enough to run, too few to learn from."""
    noise = np.random.default_rng(0)
    for name in ("ant", "beaver", "crab"):
        (folder / name).mkdir(parents=True)
        for i in range(1, 10):
            picture = Image.fromarray(noise.integers(0, 255, (60, 80, 3), dtype=np.uint8))
            data = io.BytesIO()
            picture.save(data, "JPEG")
            (folder / name / f"image_{i:04d}.jpg").write_bytes(data.getvalue())


@pytest.mark.timeout(900)  # it trains what the page trains
@pytest.mark.parametrize("page", ["README", *PAGES])
def test_every_search_command_of_a_page_runs(page: str, cli: Cli, tmp_path: Path) -> None:
    shutil.copytree(SPACES, tmp_path / "spaces")
    small_caltech(tmp_path / "data" / "caltech101" / "101_ObjectCategories")
    ran = 0
    for command in commands(PAGES.get(page, README)):
        program, *words = shlex.split(command)
        if program != "search" or command.startswith(SERVERS):
            continue
        # One process: the engine's own tests start Ray.
        inline = ["--engine", "inline"] if words[0] in ("run", "confirm") else []
        result = cli(*words, *inline)
        assert result.status == 0, (command, result)
        assert "Traceback" not in result.err
        ran += 1
    if page == "README":
        assert ran >= 4
        assert (tmp_path / "reports" / "digits.best.safetensors").is_file()
        assert "TESTING ACC" in (tmp_path / "reports" / "alexnet_caltech.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [c for c in commands("".join([README, *PAGES.values()])) if c.startswith(SERVERS)])
def test_every_server_of_the_documents_answers(command: str, cli: Cli, tmp_path: Path) -> None:
    shutil.copytree(SPACES, tmp_path / "spaces")
    (tmp_path / "dashboard.secret").write_text("long-enough")
    done = cli("run", "spaces/sklearn_digits.py", "--engine", "inline", "--trials", 1, "--name", "digits")
    assert done.status == 0
    with served(tmp_path, *shlex.split(command)[1:], "--port", "0") as server:
        answer = server.ask("/dashboard", Authorization="Bearer long-enough")
        assert (answer.status, b"<html" in answer.body) == (200, True)


@pytest.mark.parametrize("command", [c for c in commands(README + CONTRIBUTING) if c.startswith("make")])
def test_every_make_target_of_the_documents_is_there(command: str) -> None:
    # Only what it would do: a test that runs `make test` would run itself.
    dry = subprocess.run([*shlex.split(command), "--dry-run"], cwd=REPO, capture_output=True, text=True, check=False)
    assert dry.returncode == 0, dry.stderr


def test_the_python_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    examples = blocks(README, "python")
    spaces = [example for example in examples if "SearchSpace(" in example]
    for example in examples:
        if example not in spaces:
            exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - the document's own code
    assert "epoch=3" in capsys.readouterr().out
    for example in spaces:
        assert any(example.strip() in path.read_text(encoding="utf-8") for path in SPACES.glob("*.py")), example


def test_the_readme_has_every_command_and_setting() -> None:
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        assert re.search(rf"^\| `search {name}[ `]", README, re.MULTILINE)
        assert command.callback.__doc__
    for name, field in TrainConfig.model_fields.items():
        default = "" if field.is_required() else f"`{field.get_default()!r}`"
        assert f"| `{name}` | {default} | {field.description} |" in README


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *(f"docs/{name}" for name in PAGES)])
def test_the_files_that_the_documents_name_are_there(page: str) -> None:
    text = (REPO / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:search|spaces|tests|reports|benchmarks)/[\w./]+\w/?)`", text)
    made_by_running = {"reports/digits.best.yaml"}
    assert named or page.startswith("docs/")
    for path in named:
        assert (REPO / path).exists() or path in made_by_running, path


def test_the_design_has_a_place_for_every_module() -> None:
    tree = README.partition("```\nsearch/\n")[2].partition("```")[0]
    rooms = [path.parent.name for path in (REPO / "search").glob("*/__init__.py")]
    assert [room for room in rooms if f"{room}/" not in tree] == []
