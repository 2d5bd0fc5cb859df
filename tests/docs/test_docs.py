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
from conftest import SPACES, Cli
from house.test_layers import LAYERS
from optuna.study import create_study
from pages import PAGES, REPO, blocks, commands
from PIL import Image
from served import served
from sklearn.datasets import load_digits

from search.cli import app
from search.doctor import cost
from search.doctor.case import Finding
from search.doctor.doctor import CHECKS, Examination
from search.study.storage.open import connect

README, ARCHITECTURE = PAGES["README.md"], PAGES["docs/architecture.md"]
OWN_TESTS = {"docs/cluster.md", "docs/docker.md"}  # test_cluster_page.py and test_docker_page.py follow them
SERVERS = ("search dashboard", "search up")
RUNNABLE = {
    page: [command for command in commands(text) if command.startswith("search ") and not command.startswith(SERVERS)]
    for page, text in PAGES.items()
    if page not in OWN_TESTS
}
RUNNABLE["docs/quickstart.md"].remove("search check spaces/digits.py")  # as docs/doctor.md has it: nothing comes of it
assert "search check spaces/digits.py" in RUNNABLE["docs/doctor.md"]


DIGITS = ["search run spaces/digits.py", *(c for c in RUNNABLE["docs/spaces.md"] if "spaces/digits.py" in c)]
"""What makes the studies of the digits, of which several pages speak."""
DONE = {
    "docs/spaces.md": DIGITS,
    "docs/reports.md": [*DIGITS, "search train reports/digits.best.yaml"],
}
"""What the reader of a page has done before."""


def pictures(folder: Path, *classes: str) -> None:
    """Nine noisy pictures a class, in a folder each: enough to run, too few to learn from."""
    noise = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(1, 10):
            picture = Image.fromarray(noise.integers(0, 255, (60, 80, 3), dtype=np.uint8))
            data = io.BytesIO()
            picture.save(data, "JPEG")
            (folder / name / f"image_{i:04d}.jpg").write_bytes(data.getvalue())


def digits_as_pictures(folder: Path) -> None:
    """Digits as pictures of CIFAR-10's size, in a folder each: for training, 1,040 without validation, and testing."""
    found = load_digits()
    for number, (image, label) in enumerate(zip(found.images[:1350], found.target, strict=False)):
        place = folder / ("test" if number % 27 == 0 else "train") / f"class{label}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype(np.uint8)).resize((32, 32)).convert("RGB").save(place / f"{number}.png")


SMALLER = {
    "digits.py": {
        "epochs=12": "epochs=2, subset=400",
        "Int(3, 12, step=3)": "Int(1, 2)",
        "batch_size=32": "batch_size=256",
    },
    "alexnet_caltech.py": {'model="alexnet",': 'model="squeezenet1_1", image_side=64,'},  # 1.2 of 57 million weights
    "mlp_cifar10.py": {"1024": "32", "epochs=40": "epochs=3", "batch_size=128": "batch_size=512"},
}
"""What takes less time in a space of the project."""


def smaller(folder: Path) -> None:
    """The project's spaces and the README's, with few and short epochs; the commands stay as they are."""
    shutil.copytree(SPACES, folder / "spaces")
    readme = blocks(README, "python")[0].replace("epochs=12", "epochs=2, image_side=32")
    (folder / "sea_life.py").write_text(readme, encoding="utf-8")
    for name, changes in SMALLER.items():
        text = (SPACES / name).read_text(encoding="utf-8")
        for old, new in changes.items():
            assert old in text, (name, old)
            text = text.replace(old, new)
        (folder / "spaces" / name).write_text(text, encoding="utf-8")


def cost_here(seen: Examination) -> list[Finding]:
    """The doctor's last check in this process; the doctor's own page has it in a new one, which imports torch."""
    config = seen.case.config.model_copy(update={"batch_size": seen.largest_batch})
    measured = cost.measure(config, seen.case.root, seen.case.runtime.device)
    return [cost.speed(config, measured), cost.memory(config, measured, cores=1)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a reader of any page begins."""
    folder = tmp_path_factory.mktemp("reader")
    smaller(folder)
    pictures(folder / "data" / "caltech101" / "101_ObjectCategories", "ant", "beaver", "crab")
    pictures(folder / "data" / "sea_life", "crab", "octopus", "starfish")
    pictures(folder / "pictures", "0", "1")
    shutil.make_archive(str(folder / "more"), "zip", folder / "pictures")
    return folder


@pytest.mark.whole
@pytest.mark.timeout(900)  # it trains what the page trains
@pytest.mark.parametrize("page", [page for page, runnable in RUNNABLE.items() if runnable])
def test_every_search_command_of_a_page_runs(
    page: str, once: Cli, cli: Cli, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    if page == "docs/recipe.md":
        digits_as_pictures(tmp_path / "data" / "cifar10")
        monkeypatch.setitem(CHECKS, "memory", cost_here)
    for command in dict.fromkeys([*DONE.get(page, []), *RUNNABLE[page]]):
        words = shlex.split(command)[1:]
        # One process: the engine's own tests start Ray.
        inline = ["--engine", "inline"] if words[0] in ("run", "confirm") else []
        fewer = ["--trials", "3"] if words[0] == "run" else []  # the last of two counts
        result = (once if command in DIGITS else cli)(*words, *inline, *fewer)
        assert result.status == 0, (command, result)
        assert "Traceback" not in result.err
    made = {
        "README.md": "sea_life.best.yaml",
        "docs/quickstart.md": "digits.best.safetensors",
        "docs/spaces.md": "alexnet_caltech.md",
        "docs/recipe.md": "mlp_cifar10.best.yaml",
        "docs/reports.md": "digits-vs-broad-vs-narrow.md",
    }
    assert page not in made or (tmp_path / "reports" / made[page]).is_file()
    if page == "docs/model.md":
        exec(compile(blocks(PAGES[page], "python")[0], page, "exec"), {})  # noqa: S102 - the page's own code


def test_the_pages_of_a_search_have_commands_that_run() -> None:
    assert {page for page, runnable in RUNNABLE.items() if runnable} >= {"README.md"} | {
        f"docs/{name}.md" for name in ("quickstart", "doctor", "spaces", "recipe", "reports", "model")
    }


STARTED = [command for command in commands("".join(PAGES.values())) if command.startswith(SERVERS)]


def test_search_up_stands_in_the_documents_as_its_own_test_starts_it() -> None:
    assert {command for command in STARTED if not command.startswith("search dashboard")} == {"search up"}


@pytest.mark.whole
@pytest.mark.parametrize("command", [command for command in STARTED if command != "search up"])
def test_every_dashboard_of_the_documents_answers(command: str, tmp_path: Path) -> None:
    (tmp_path / "dashboard.secret").write_text("long-enough")
    create_study(storage=connect("sqlite:///studies.db"), study_name="digits")
    with served(tmp_path, *shlex.split(command)[1:], "--port", "0") as server:
        answer = server.ask("/dashboard", Authorization="Bearer long-enough")
        assert (answer.status, b"<html" in answer.body) == (200, True)


@pytest.mark.parametrize("command", [c for c in commands("".join(PAGES.values())) if c.startswith("make")])
def test_every_make_target_of_the_documents_is_there(command: str) -> None:
    # Only what it would do: a test that runs `make test` would run itself.
    dry = subprocess.run([*shlex.split(command), "--dry-run"], cwd=REPO, capture_output=True, text=True, check=False)
    assert dry.returncode == 0, dry.stderr


def test_the_space_files_on_pages_are_those_that_come_with_the_project() -> None:
    quoted = [block for block in blocks(PAGES["docs/spaces.md"], "python") if "SearchSpace(" in block]
    assert len(quoted) == 2
    for block in quoted:
        assert any(block.strip() == path.read_text(encoding="utf-8").strip() for path in SPACES.glob("*.py")), block


def test_the_python_of_the_page_on_spaces_runs(capsys: pytest.CaptureFixture[str], torch_threads: None) -> None:
    (notebook,) = (block for block in blocks(PAGES["docs/spaces.md"], "python") if "SearchSpace(" not in block)
    exec(compile(notebook, "spaces.md", "exec"), {})  # noqa: S102 - the document's own code
    assert "epoch=3" in capsys.readouterr().out


def test_every_command_has_its_line() -> None:
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        assert re.search(rf"^\| `search {name}[ `]", PAGES["docs/reference/cli.md"], re.MULTILINE)
        assert command.help


@pytest.mark.parametrize("page", PAGES)
def test_the_files_that_the_documents_name_are_there(page: str) -> None:
    named = re.findall(r"`((?:search|spaces|tests|reports|benchmarks|docs)/[\w./]+\w/?)`", PAGES[page])
    named = [path for path in named if "STUDY" not in path]
    made_by_running = {"reports/digits.md", "reports/digits.best.yaml"}
    assert named or page not in ("docs/architecture.md", "docs/extending.md", "docs/spaces.md")
    for path in named:
        assert (REPO / path).exists() or path in made_by_running, path


def test_the_layers_are_those_that_a_test_holds() -> None:
    for text in (README, ARCHITECTURE):
        assert f"```\n{LAYERS}\n```" in text


def test_the_architecture_has_a_line_for_every_room() -> None:
    tree = ARCHITECTURE.partition("```\nsearch/\n")[2].partition("```")[0]
    rooms = [path.parent.name for path in (REPO / "search").rglob("__init__.py")][1:]
    assert [room for room in rooms if not re.search(rf"^ +{room}/  ", tree, re.MULTILINE)] == []
