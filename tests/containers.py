"""Services as processes of this machine: what compose.yaml starts, with folders for volumes and free ports."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml
from conftest import REPO
from live import BIN, WAIT, free_port, until
from postgres import Postgres, programs

DOCKER = REPO / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")


@cache
def ray_start_help() -> str:
    """What `ray start --help` prints: a second of work, which several tests read."""
    return subprocess.run([BIN / "ray", "start", "--help"], capture_output=True, text=True, check=True).stdout


def composed() -> dict[str, Any]:
    """compose.yaml with its merges done, and each variable at its default."""
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    found = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    assert isinstance(found, dict)
    return found


COMPOSE = composed()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def instruction(name: str) -> str:
    """The Dockerfile's last instruction of that name, without the name."""
    return str(re.findall(rf"^{name} ((?:.*\\\n)*.*)$", DOCKERFILE, re.MULTILINE)[-1]).replace("\\\n", "")


def healthy(process: subprocess.Popen[Any]) -> bool:
    """What Docker's question to the image finds."""
    python, script, _ = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])
    words = [BIN / python, DOCKER / Path(script).name, str(process.pid)]
    return subprocess.run(words, env={"HTTP_PROXY": "http://127.0.0.1:9"}, check=False).returncode == 0


class Containers:
    """In `folder`, which has the secrets as Compose looks for them, and whose name is short, for Ray's sockets."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        self.folder, self._postgres = folder, postgres
        self.started: dict[str, subprocess.Popen[bytes]] = {}
        self._up: list[str] = []
        self.ports = {port: free_port() for port in (6379, 8080, 8265)}

    def up(self, names: Iterable[str]) -> None:
        """Start the services, each as soon as what it depends on is healthy, and wait until they are so themselves."""
        for name in names:
            self.up(SERVICES[name].get("depends_on", ()))
            if name in self._up:
                continue
            self._up.append(name)
            if name == "postgres":
                self._database()
            else:
                self.started[name] = self._process(name, SERVICES[name]["command"])
                until(partial(self._answers, name), f"{name} to be healthy")

    def run(self, name: str, words: Sequence[str]) -> str:
        """What the service prints with other words than its own."""
        process = self._process(name, words)
        status = process.wait(timeout=WAIT)
        assert status == 0, (words, self.printed(name))
        return self.printed(name)

    def printed(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def down(self) -> None:
        """End them as Docker does, the last first."""
        for process in reversed(self.started.values()):
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=WAIT)

    def end(self) -> None:
        """Leave nothing, whatever the test found."""
        for process in self.started.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def path(self, name: str, text: str) -> str:
        """`text` with this machine's paths for those of the service; all that it names are there."""
        service = SERVICES[name]
        places = {f"/run/secrets/{secret}": self._secret(secret) for secret in service.get("secrets", ())}
        for source, target, *_ in (volume.split(":") for volume in service["volumes"]):
            places[target] = (DOCKER / source).resolve() if source.startswith(".") else self.folder / source
        pattern = "|".join(rf"(?<![\w/]){place}(?![\w])" for place in places)
        found = re.sub(pattern, lambda match: str(places[match[0]]), text)
        assert not re.search(r"(?<![\w/])/(studies|cache|data|spaces|run)\b", found), (name, text)
        return found

    def _answers(self, name: str) -> bool:
        assert self.started[name].poll() is None, self.printed(name)
        return healthy(self.started[name])

    def _process(self, name: str, words: Sequence[str]) -> subprocess.Popen[bytes]:
        service = SERVICES[name]
        program, *more = service.get("entrypoint") or json.loads(instruction("ENTRYPOINT"))
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("SEARCH_", "RAY_"))}
        image = dict(re.findall(r"(\w+)=(\S+)", instruction("ENV")))
        environment: Mapping[str, str] = image | service["environment"] | {"PATH": ours["PATH"]}
        folder = Path(self.path(name, instruction("WORKDIR")))
        folder.mkdir(exist_ok=True)
        typed = [str(BIN / program), *more, *(self._loopback(self.path(name, word)) for word in words)]
        with (self.folder / f"{name}.log").open("w") as log:
            return subprocess.Popen(
                [*typed, *self._apart(typed)],
                cwd=folder,
                env=ours | {key: self._loopback(self.path(name, value)) for key, value in environment.items()},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _loopback(self, text: str) -> str:
        text = re.sub(r"(?<=[=/])(0\.0\.0\.0|head)(?=$|:)", "127.0.0.1", text)
        return re.sub(r"\b(6379|8080|8265)$", lambda port: str(self.ports[int(port[0])]), text)

    def _apart(self, words: Sequence[str]) -> list[str]:
        """What keeps Ray's nodes apart on one machine, as their containers do."""
        if words[1] != "start":
            return []
        own = [f"--dashboard-agent-listen-port={free_port()}"]
        if "--head" in words:
            own += [f"--dashboard-port={self.ports[8265]}", f"--temp-dir={self.folder}/ray"]
        return own

    def _secret(self, name: str) -> Path:
        return self.folder / "docker" / str(COMPOSE["secrets"][name]["file"])

    def _database(self) -> None:
        """What PostgreSQL's image makes of its environment, in a server that is there."""
        service = SERVICES["postgres"]
        user, name = service["environment"]["POSTGRES_USER"], service["environment"]["POSTGRES_DB"]
        password = self.path("postgres", service["environment"]["POSTGRES_PASSWORD_FILE"])
        self._postgres.add_user(user, Path(password).read_text().strip())
        self._postgres.database(name)
        url = self._secret("storage")
        url.write_text(url.read_text().replace("@postgres/", f"@127.0.0.1:{self._postgres.port}/"))
        program, *words = service["healthcheck"]["test"][1:]
        asked = [programs() / program, *words, f"--port={self._postgres.port}"]
        assert subprocess.run(asked, check=False).returncode == 0, asked
