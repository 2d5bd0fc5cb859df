"""The image and the services that are made of it, as far as they can be tried where no Docker runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from compose_spec import PyCompose
from conftest import REPO, SPACES
from containers import COMPOSE, DOCKER, DOCKERFILE, SERVICES, healthy, instruction
from live import BIN, free_port
from served import served

from search.study.storage.open import connect

RAYS = [name for name, service in SERVICES.items() if service["image"] == "search" and name != "dashboard"]


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    found = subprocess.run([BIN / "hadolint", DOCKER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


def test_the_image_installs_what_the_project_names_and_with_the_same_uv() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = re.findall(r"--extra (\w+)", DOCKERFILE)
    assert {"cluster", "postgres"} <= set(extras) <= set(project["optional-dependencies"]) - {"dev"}
    (version,) = set(re.findall(r"uv==([\d.]+)", DOCKERFILE))
    assert f"uv=={version}" in (REPO / "Makefile").read_text(encoding="utf-8")


def test_docker_is_sent_what_the_dockerfile_copies_and_no_more() -> None:
    copied = [
        word for words in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for word in words.split()[:-1]
    ]
    ignore = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignore[1] == "*"
    assert sorted(copied) == sorted(line[1:] for line in ignore if line.startswith("!"))
    assert all((REPO / path).exists() for path in copied)


def test_compose_takes_the_services_as_they_are_written() -> None:
    PyCompose.from_json(json.dumps(COMPOSE)).validate()
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        named = {volume.partition(":")[0] for volume in service["volumes"] if volume[0] not in "./"}
        assert named <= set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_shut_in(name: str) -> None:
    service = SERVICES[name]
    assert (service["init"], service["read_only"], service["cap_drop"]) == (True, True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "network_mode", "pid"} & set(service)
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert (service.get("user") or instruction("USER")) in ("postgres", "1000")


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_are_files_never_words_or_variables(name: str) -> None:
    service = SERVICES[name]
    said = json.dumps([service.get("command"), service["environment"]])
    named = set(re.findall(r"/run/secrets/(\w+)", said))
    assert named <= set(service["secrets"]) <= set(COMPOSE["secrets"])
    assert "://" not in said.replace("http://head:8265", "")
    assert all(
        variable.endswith(("_FILE", "_PATH"))
        for variable, value in service["environment"].items()
        if "secrets" in value
    )
    assert not {"RAY_AUTH_TOKEN", "SEARCH_AUTH", "SEARCH_STORAGE", "POSTGRES_PASSWORD"} & set(service["environment"])


@pytest.mark.parametrize("name", RAYS)
def test_rays_token_is_asked_for(name: str) -> None:
    environment = SERVICES[name]["environment"]
    assert (environment["RAY_AUTH_MODE"], environment["RAY_AUTH_TOKEN_PATH"]) == ("token", "/run/secrets/ray_token")
    assert "ray_token" in SERVICES[name]["secrets"]


def test_the_secrets_are_kept_out_of_git() -> None:
    assert all(secret["file"].startswith("secrets/") for secret in COMPOSE["secrets"].values())
    assert "/docker/secrets/" in (REPO / ".gitignore").read_text(encoding="utf-8").splitlines()


@pytest.mark.whole
def test_a_dashboard_is_healthy_while_it_answers(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("long-enough")
    connect(f"sqlite:///{tmp_path}/studies.db")
    with served(tmp_path, "dashboard", f"--port={free_port()}", "--auth=secret") as server:
        assert healthy(server.process)
        server.process.send_signal(signal.SIGSTOP)
        assert not healthy(server.process)
        server.process.send_signal(signal.SIGCONT)


def test_what_serves_nothing_is_healthy_until_it_ends() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        assert healthy(process)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not healthy(process)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # it brings some gigabytes
def test_the_dockerfiles_steps_make_a_search_that_stands_alone(tmp_path: Path) -> None:
    build = DOCKERFILE.split("\nFROM ")[1]
    (source := tmp_path / "src").mkdir()
    python = tmp_path / "python"
    subprocess.run([sys.executable, "-m", "venv", python], check=True)  # as the base image has one
    settings = dict(re.findall(r"(\w+)=(\S+)", build.partition("\nENV ")[2].partition("\n")[0]))
    environment = {name: value.replace("/opt/search", f"{tmp_path}/search") for name, value in settings.items()}
    environment |= {"PATH": f"{python}/bin:/usr/bin:/bin", "HOME": str(tmp_path), "DEVICE": "cuda"}
    environment |= {name: os.environ[name] for name in os.environ if name.startswith(("PIP_", "UV_INDEX", "SSL_"))}
    for step, words in re.findall(r"^(COPY|RUN) ((?:.*\\\n)*.*)$", build, re.MULTILINE):
        if step == "COPY":
            *names, place = words.split()
            for name in names:
                copy = shutil.copytree if (REPO / name).is_dir() else shutil.copy
                copy(REPO / name, (source / place / Path(name).name) if place == "./" else source / place)
        elif not words.startswith("apt-get"):  # the machine's own strip serves as well
            shell = words.replace("/opt/search", f"{tmp_path}/search").replace("python3.11", f"{python}/bin/python")
            subprocess.run(["sh", "-ec", shell], cwd=source, env=environment, check=True)
    shutil.rmtree(source)
    installed = tmp_path / "search" / "bin"
    alone = {"PATH": f"{installed}:/usr/bin:/bin", "HOME": str(tmp_path)}
    run = ["run", str(SPACES / "digits.py"), "--engine", "inline", "--trials", "1", "--epochs", "1"]
    done = subprocess.run(
        [installed / "search", *run], cwd=tmp_path, env=alone, capture_output=True, text=True, check=False
    )
    assert "best config  reports/digits.best.yaml" in done.stdout, done
    there = {path.name for path in installed.iterdir()}
    assert {"python", "ray", "search"} <= there
    assert not {"pip", "uv", "pytest", "mypy", "ruff", "hadolint"} & there
    shutil.rmtree(tmp_path / "search")  # gigabytes, which pytest would keep
