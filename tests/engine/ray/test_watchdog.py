"""The death of a server of Ray's is noticed at once, in the main thread."""

from __future__ import annotations

import subprocess
import time

import pytest

from search.engine.ray import watchdog


@pytest.fixture
def raylet(monkeypatch: pytest.MonkeyPatch) -> subprocess.Popen[bytes]:
    """A process that stands where Ray keeps its raylet."""
    process = subprocess.Popen(["sleep", "60"])
    monkeypatch.setattr(watchdog, "servers", lambda: {process.pid: "raylet"})
    return process


def test_a_server_that_dies_interrupts_whatever_goes_on(raylet: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    with watchdog.watched() as dead:
        try:
            raylet.kill()
            time.sleep(30)
        except KeyboardInterrupt:
            assert dead == ["raylet"]
    assert time.monotonic() - began < 10
    raylet.wait()


def test_a_server_that_is_dead_already_interrupts_too(raylet: subprocess.Popen[bytes]) -> None:
    raylet.kill()
    raylet.wait()
    with pytest.raises(KeyboardInterrupt), watchdog.watched():
        time.sleep(30)


def test_where_the_servers_live_nothing_happens(raylet: subprocess.Popen[bytes]) -> None:
    with watchdog.watched() as dead:
        time.sleep(0.1)
    assert dead == []
    raylet.kill()  # nobody looks any more
    raylet.wait()
