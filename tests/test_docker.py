"""The image and the services that are made of it, as far as they can be tried where no Docker runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tomllib
from pathlib import Path

import pytest
from compose_spec import PyCompose
from conftest import REPO
from containers import COMPOSE, DOCKER, DOCKERFILE, SERVICES, healthy, instruction
from live import BIN, free_port
from served import served

from search.storage import connect

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
