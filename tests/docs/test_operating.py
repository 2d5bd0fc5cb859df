"""Files for an operator: units of systemd, a script of Slurm, jobs of CI."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPO
from containers import ray_start_help
from live import BIN, free_port

DOCKER = REPO / "docker"
WORKFLOWS = sorted((REPO / ".github" / "workflows").glob("*.yml"))
UNITS = sorted(DOCKER.glob("*.service"))
SBATCH = DOCKER / "search.sbatch"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_job_of_ci_only_calls_make(path: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (REPO / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    found: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert found["permissions"] == {"contents": "read"}
    steps = [step for job in found["jobs"].values() for step in job["steps"]]
    said = [step["run"] for step in steps if "run" in step]
    assert said
    for words in said:
        make, target, *settings = words.split()
        assert (make, target in targets, settings in ([], ["ALL=1"])) == ("make", True, True)
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]) for step in steps if "uses" in step)


def test_there_is_a_job_for_each_kind() -> None:
    assert [path.stem for path in WORKFLOWS] == ["audit", "docs", "release", "test"]


def test_without_a_network_the_audit_says_that_it_compared_nothing(tmp_path: Path) -> None:
    """Its own exit status tells that from a vulnerability that was found."""
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "UV_CACHE_DIR": str(tmp_path), "UV_HTTP_RETRIES": "0"}
    words = [str(BIN / "python"), str(REPO / ".ci" / "audit.py"), "requirements.lock"]
    done = subprocess.run(words, cwd=REPO, env=os.environ | nowhere, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (69, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("audit: requirements.lock was compared with nothing: OSV or PyPI cannot be reached: ")
    words = ["make", "--dry-run", "--no-print-directory", "audit"]  # make runs these tests
    made = subprocess.run(words, cwd=REPO, capture_output=True, text=True, check=True)
    assert made.stdout.splitlines()[-1] == ".venv/bin/python .ci/audit.py requirements.lock"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_says_what_ray_knows_and_starts_it_again(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    (command,) = re.findall(r"^ExecStart=/opt/search/bin/ray start (.*)$", text, re.MULTILINE)
    known = ray_start_help()
    assert all(re.search(rf"{option}\b", known) for option in re.findall(r"--[\w-]+", command))
    assert "Restart=always" in text
    assert "RuntimeDirectoryMode=0700" in text
    ports = dict(re.findall(r"--([\w-]+port) (\d+)", command))
    assert len(set(ports.values())) == len(ports)
    page = (REPO / "docs" / "cluster.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d, to]+) \|", page, re.MULTILINE)
    numbers = [tuple(map(int, re.findall(r"\d+", row))) for row in rows]
    for port in map(int, ports.values()):
        assert any(row[0] <= port <= row[-1] for row in numbers), port


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: this test did NOT run")
    for path in UNITS:
        text = path.read_text(encoding="utf-8").replace("/opt/search/bin/ray", str(BIN / "ray"))
        (tmp_path / path.name).write_text(text.replace("User=search\n", ""))
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, sorted(tmp_path.glob("*.service")))],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line or line.startswith("search-")]
    assert ours == []


SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""


@pytest.mark.slow
def test_the_script_of_slurm_runs_a_search_and_leaves_no_token(tmp_path: Path) -> None:
    """With stand-ins for Slurm's programs, on a cluster of one node."""
    for name, text in {
        "srun": SRUN,
        "scontrol": "#!/bin/bash\necho here\n",
        "hostname": "#!/bin/bash\necho 127.0.0.1\n",
    }.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(stat.S_IRWXU)
    shutil.copytree(REPO / "spaces", tmp_path / "spaces")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SEARCH_"))}
    environment |= {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "SEARCH_BIN": str(BIN), "USER": "me"}
    environment |= {"SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "here", "SEARCH_PORT": str(free_port())}
    words = ["bash", str(SBATCH), "spaces/digits.py", "--trials", "2", "--epochs", "1"]
    done = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=250
    )
    assert done.returncode == 0, done
    assert (tmp_path / "reports" / "digits.md").is_file()
    assert list(tmp_path.glob(".search-token-*")) == []


def test_the_script_of_slurm_is_bash() -> None:
    subprocess.run(["bash", "-n", str(SBATCH)], check=True)
