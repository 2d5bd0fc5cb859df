"""The page on containers, followed word by word: what its commands start runs here as processes, on loopback."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import urllib.error
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from conftest import REPO, SPACES
from containers import DOCKER, SERVICES, Containers
from live import ask, until
from postgres import Postgres

from search.engine.processes.scratch import scratch
from search.engine.ray import auth, patches

PAGE = (REPO / "docs" / "docker.md").read_text(encoding="utf-8")
SECRETS, START, WITHOUT_GPU, SUBMIT, FOLLOW, RESULTS, STOP = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
STARTED = [name for name, service in SERVICES.items() if "profiles" not in service]
KUBERNETES_JOB = list(yaml.safe_load_all((DOCKER / "kubernetes.yaml").read_text(encoding="utf-8")))[-1]["spec"]
SMALL = ["--trials", "3", "--epochs", "2"]


@pytest.fixture(scope="module")
def containers(postgres: Postgres) -> Iterator[Containers]:
    if patches.missing_for_jobs():
        pytest.skip("ray[default] is not installed: this test did NOT run")
    with scratch() as (folder, _):
        (folder / "docker").mkdir()
        subprocess.run(["bash", "-ec", SECRETS], cwd=folder, check=True)
        made = Containers(folder, postgres)
        try:
            made.up(STARTED)
            yield made
            made.down()
        finally:
            made.end()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_page_can_be_followed_word_by_word(containers: Containers) -> None:
    assert START.splitlines()[-1] == "docker compose up --build --wait"
    assert WITHOUT_GPU.split()[5:] == ["cpu-worker", "dashboard"]
    assert SERVICES["cpu-worker"]["command"] == SERVICES["worker"]["command"]

    said = containers.run("search", [*typed(SUBMIT)[0], *SMALL])
    job = re.search(r"^job +(\S+)$", said, re.MULTILINE)
    assert job is not None
    no_secret_shows(containers)
    logs, end = typed(FOLLOW.replace("JOB", job[1]))
    assert "[3/3] trial " in containers.run("search", logs)
    assert "has ended before" in containers.run("search", end)

    status, *fetched = RESULTS.splitlines()
    assert "digits" in containers.run("search", typed(status)[0])
    for line in fetched:
        name, _, file = line.split()[3].partition(":")
        assert Path(containers.path(name, file)).is_file()
    dashboard_is_guarded(containers)
    assert STOP == "docker compose down\n"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_study_of_kubernetes_runs_on_the_same_head(containers: Containers) -> None:
    """As KubeRay's HTTPMode submits it, with Kubernetes' layout of a config map; no GPU is here to wait for."""
    from ray.job_submission import JobSubmissionClient  # late: its import takes seconds

    version = containers.folder / "spaces" / "..2026_11_21"
    version.mkdir(parents=True)
    shutil.copy(SPACES / "digits.py", version)
    (version.parent / "..data").symlink_to(version.name)
    (version.parent / "digits.py").symlink_to("..data/digits.py")
    token = containers.folder / "docker" / "secrets" / "ray_token"
    entry = KUBERNETES_JOB["entrypoint"].replace("num_gpus=1", "num_gpus=0")
    entry = containers.path(
        "head", entry.replace("/run/secrets/search/", "/run/secrets/").replace("/spaces", str(version.parent))
    )
    with auth.token_required(token):
        client = JobSubmissionClient(f"http://127.0.0.1:{containers.ports[8265]}")
        job = client.submit_job(
            entrypoint=shlex.join(["sh", "-c", " ".join([entry, "--name", "kubernetes", *SMALL])]),
            runtime_env=yaml.safe_load(KUBERNETES_JOB["runtimeEnvYAML"]),
        )
        until(lambda: client.get_job_status(job).is_terminal(), "the end of the job")
        said = client.get_job_logs(job)
    assert "[3/3] trial " in said
    assert Path(containers.path("head", "/studies/reports/kubernetes.best.yaml")).is_file()


def no_secret_shows(containers: Containers) -> None:
    """None stands in the words or the environment of any process, while a study runs."""
    secrets = [path.read_bytes().strip() for path in (containers.folder / "docker" / "secrets").iterdir()]
    assert len(secrets) == 4
    for process in Path("/proc").glob("[0-9]*"):
        for file in ("cmdline", "environ"):
            with suppress(OSError):
                shown = (process / file).read_bytes()
                assert not any(secret in shown for secret in secrets), (shown, file)


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
