"""The image, built by what is here, and a study in it: read-only, an ordinary user, no capabilities, no network."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from conftest import REPO, SPACES
from containers import DOCKERFILE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]  # it brings some gigabytes
STAND_IN = "localhost/search-stand-in"
PACKAGES = "python3.11,python3.11-venv,python3-pip,ca-certificates"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def works(program: str) -> bool:
    return shutil.which(program) is not None and done(program, "info").returncode == 0


def done(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=REPO, env=ours(), capture_output=True, text=True, check=False)


def ours() -> dict[str, str]:
    """Without systemd nobody hands out cgroups: builds then go without them."""
    apart = {} if Path("/run/systemd/system").is_dir() else {"BUILDAH_ISOLATION": "chroot"}
    return os.environ | apart


@pytest.fixture(scope="module")
def engine() -> str:
    """The first of docker and podman that works."""
    found = [program for program in ("docker", "podman") if works(program)]
    if not found:
        pytest.skip("neither docker nor podman works here: this test did NOT run")
    return found[0]


@pytest.fixture(scope="module")
def base(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The Dockerfile's base, or where no registry is reached, a Debian with the same Python."""
    (named,) = re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE, re.MULTILINE)
    if done(engine, "pull", "--quiet", named).returncode == 0:
        yield named
        return
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        pytest.skip("no registry is reached, and root's debootstrap is not here: this test did NOT run")
    root = tmp_path_factory.mktemp("base") / "root"
    made = done("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root))
    assert made.returncode == 0, made.stdout[-2000:]
    (root / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink()
    shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
    for what in ("cache/apt", "lib/apt/lists"):
        shutil.rmtree(root / "var" / what)
        (root / "var" / what / "partial").mkdir(parents=True)
    archive = root.with_suffix(".tar")
    subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
    shutil.rmtree(root)
    path = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    made = done(
        engine, "import", "--change", path, "--change", f"ENV SSL_CERT_FILE={CERTIFICATES}", str(archive), STAND_IN
    )
    archive.unlink()
    assert made.returncode == 0, made.stderr
    yield STAND_IN
    done(engine, "rmi", "--force", STAND_IN)


def limits(engine: str) -> Sequence[str]:
    """What podman needs where no systemd is: no timer for health, cgroups by hand, no more than this shell may have."""
    if engine == "docker" or Path("/run/systemd/system").is_dir():
        return []
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return ["--no-healthcheck", "--ulimit", f"nofile={files}:{files}", "--ulimit", "nproc=30000:30000"]


def test_a_study_runs_in_the_image(engine: str, base: str) -> None:
    words = ["make", "image", f"DEVICE={os.environ.get('DEVICE', 'cuda')}"]
    once = " --layers=false" if engine == "podman" else ""  # else the disk holds each step's seven gigabytes
    built = done(*words, f"OPTIONS=--network host --build-arg BASE={base}{once}")
    assert built.returncode == 0, built.stdout[-1000:] + built.stderr[-3000:]
    shut = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", "1000"]
    places = ["--tmpfs", "/tmp:exec,mode=1777", "--volume", "/studies", "--volume", "/cache"]
    begin = [engine, "--cgroup-manager", "cgroupfs"] if limits(engine) else [engine]
    begin += ["--runtime", "runc"] if limits(engine) and shutil.which("runc") else []
    run = [*begin, "run", "--rm", "--network", "none", *shut, *places, *limits(engine)]
    said = done(*run, "--volume", f"{SPACES}:/spaces:ro", "search", "run", "/spaces/digits.py", "--trials", "4")
    assert "best config  reports/digits.best.yaml" in said.stdout, said
    assert said.stdout.count("/4] trial ") == 4
    whose = done(*run, "--entrypoint", "id", "search", "-u")
    assert whose.stdout.strip() == "1000"
    touched = done(*run, "--entrypoint", "touch", "search", "/home/search/file")
    assert "Read-only file system" in touched.stderr
