"""The page on containers, followed word by word: what its commands start runs here as processes, on loopback."""

from __future__ import annotations

import re
import shlex
import subprocess
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REPO
from containers import SERVICES, Containers
from live import ask
from postgres import Postgres

from search.engine import cluster
from search.engine.scratch import scratch

PAGE = (REPO / "docs" / "docker.md").read_text(encoding="utf-8")
STARTED = [name for name, service in SERVICES.items() if "profiles" not in service]
SMALL = ["--trials", "3", "--epochs", "2"]


@pytest.fixture
def containers(postgres: Postgres) -> Iterator[Containers]:
    if cluster.missing():
        pytest.skip("ray[default] is not installed: this test did NOT run")
    with scratch() as (folder, _):
        (folder / "docker").mkdir()
        made = Containers(folder, postgres)
        try:
            yield made
        finally:
            made.end()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_page_can_be_followed_word_by_word(containers: Containers) -> None:
    secrets, start, without_gpu, submit, followed, results, stop = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    subprocess.run(["bash", "-ec", secrets], cwd=containers.folder, check=True)
    assert start.splitlines()[-1] == "docker compose up --build --wait"
    containers.up(STARTED)
    assert without_gpu.split()[5:] == ["cpu-worker", "dashboard"]
    assert SERVICES["cpu-worker"]["command"] == SERVICES["worker"]["command"]

    said = containers.run("search", [*typed(submit)[0], *SMALL])
    job = re.search(r"^job +(\S+)$", said, re.MULTILINE)
    assert job is not None
    logs, end = typed(followed.replace("JOB", job[1]))
    assert "[3/3] trial " in containers.run("search", logs)
    assert "has ended before" in containers.run("search", end)

    status, *fetched = results.splitlines()
    assert "digits" in containers.run("search", typed(status)[0])
    for line in fetched:
        name, _, file = line.split()[3].partition(":")
        assert Path(containers.path(name, file)).is_file()
    dashboard_is_guarded(containers)
    assert stop == "docker compose down\n"
    containers.down()


def typed(block: str) -> list[list[str]]:
    """The words of `search` on each line."""
    lines = [line.partition("docker compose run --rm search ") for line in block.splitlines()]
    assert all(not before for before, _, _ in lines)
    return [shlex.split(words) for _, _, words in lines]


def dashboard_is_guarded(containers: Containers) -> None:
    secret = (containers.folder / "docker" / "secrets" / "dashboard").read_text().strip()
    for page in ("dashboard", "tensorboard/"):
        url = f"http://127.0.0.1:{containers.ports[8080]}/{page}"
        assert b"<html" in ask(url, secret)
        with pytest.raises(urllib.error.HTTPError, match="401") as refused:
            ask(url)
        refused.value.close()
