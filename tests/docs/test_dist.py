"""`make dist`: wheel and sdist are whole, and the wheel runs by itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import REPO
from live import BIN

MODULES = {path.relative_to(REPO).as_posix() for path in (REPO / "search").rglob("*.py")} | {
    "search/py.typed",
    "search/reporting/html.template",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that has what `make dist` builds, of a copy of the checkout."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(REPO / "search", source / "search", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPO / name, source)
    recipe = re.search(r"^dist:.*\n\t\$\(BIN\)/(.*)$", (REPO / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert recipe is not None
    program, *words = recipe[1].replace("$(BIN)", str(BIN)).split()
    subprocess.run([BIN / program, *words, "--offline"], cwd=source, check=True)
    return source / "dist"


def test_wheel_and_sdist_have_every_module_and_the_types(built: Path) -> None:
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == MODULES
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= MODULES | {"README.md", "LICENSE", "pyproject.toml"}


def test_the_wheel_runs_from_an_environment_of_its_own(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    home = tmp_path / "environment"
    subprocess.run([BIN / "uv", "venv", "--quiet", "--offline", "--python", sys.executable, home], check=True)
    python = home / "bin" / "python"
    install: list[str | Path] = [
        BIN / "uv",
        "pip",
        "install",
        "--quiet",
        "--offline",
        "--no-deps",
        "--python",
        python,
        wheel,
    ]
    subprocess.run(install, check=True)
    (site,) = home.glob("lib/python*/site-packages")
    # The dependencies are those of the tests; the checkout is not among them, for its .pth is not read from there.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    alone = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*words: str | Path) -> str:
        done = subprocess.run(words, cwd=tmp_path, env=alone, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), words
        return done.stdout

    assert Path(run(python, "-c", "import search; print(search.__file__)").strip()).is_relative_to(site)
    assert "confirm" in run(home / "bin" / "search", "--help")
