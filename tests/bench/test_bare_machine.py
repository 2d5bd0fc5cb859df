"""What is typed on the GPU machine, from the tree, where only its packages and the kit's are found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from bare import PLUGINS, carried, closure, lacking, make_bare
from conftest import REPO

from benchmarks.gpu.prepare import EXPECTED

pytestmark = pytest.mark.whole


def python(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    make_bare(home)
    own = {"PYTHONPATH": f"{home}:{REPO}", "XDG_CACHE_HOME": str(home / "cache")}
    own["MPLCONFIGDIR"] = f"{os.environ['XDG_CACHE_HOME']}/matplotlib"  # whose list of fonts takes a second to make
    return subprocess.run(
        [sys.executable, *words], cwd=REPO, env=os.environ | own | PLUGINS, capture_output=True, text=True, check=False
    )


def test_what_is_carried_needs_nothing_that_is_neither_there_nor_carried() -> None:
    assert closure(carried()) - closure(EXPECTED) - carried() == set()
    assert {"psycopg", "s3fs", "apprise", "ruff"} & lacking() >= {"psycopg", "s3fs"}
    assert not {"torch", "ray", "optuna", "pytest", "search"} & lacking()


def test_the_tests_that_need_a_gpu_are_collected_from_the_tree(tmp_path: Path) -> None:
    done = python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", "--collect-only")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tests/doctor/test_gpu_share.py: 1\ntests/train/test_batches_on_gpu.py: 1\n" in done.stdout


TRIED = """
import os, sys
import torch, torchvision.models, search.train.trainer, search.doctor.preflight, search.engine.ray.tune
try:
    import psycopg
except ModuleNotFoundError as missing:
    print(missing)
from benchmarks import bench
sys.argv = ["bench", "--gpu"]
if not torch.cuda.is_available():
    print("bench", bench.main())
os.chdir(WHERE)
from search.cli import main
sys.argv = ["search", *WORDS]
main()
"""


def test_the_bench_for_gpus_begins_and_a_trial_is_searched_from_the_tree(tmp_path: Path) -> None:
    """In one process, since each imports torch."""
    words = ["run", str(REPO / "spaces/digits.py"), "--trials", "1", "--epochs", "1", "--engine", "inline"]
    words += ["--subset", "300"]
    done = python(tmp_path, "-c", f"WHERE, WORDS = {str(tmp_path)!r}, {words}\n{TRIED}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("No module named 'psycopg'\n")
    if not torch.cuda.is_available():
        assert "\nbench 2\n" in done.stdout
        assert done.stderr == "bench: no GPU is visible here: make bench measures on the CPU\n"
    assert (tmp_path / "reports" / "digits.best.yaml").is_file()
